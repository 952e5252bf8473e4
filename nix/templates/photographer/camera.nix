# What makes this card mine. Networks and keys can stay out of here: they can be given to any card in birthmark-setup.txt.
{
  time.timeZone = "Europe/Berlin";

  services.birthmark.camera = {
    # No receiver on the serial pins:
    # gps.enable = false;
    # Its pulse on GPIO 4:
    # pps.enable = true;
  };
}
