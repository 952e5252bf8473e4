# A manufacturer authority with PostgreSQL of its own.
{
  imports = [ ./server.nix ];
  networking.hostName = "authority";
  services.birthmark.sma = {
    enable = true;
    database.createLocally = true;
  };
  services.birthmark.monitoring.enable = true;
}
