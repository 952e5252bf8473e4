# Authority, validator and camera on one machine, with an emulated TPM.
{
  virtualisation = {
    memorySize = 2048;
    tpm.enable = true;
  };
  services.birthmark = {
    sma.enable = true;
    node.enable = true;
    camera = {
      enable = true;
      gps.enable = false;
    };
  };
}
