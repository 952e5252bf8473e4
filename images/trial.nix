# Everything on one machine, to look at: authority, validator, and a camera with a drawn sensor. It keeps SQLite and reaches
# only itself. Not for production: whoever runs the authority must not run the validator.
{ pkgs, ... }:
{
  imports = [ ./server.nix ];
  networking.hostName = "trial";
  # It is for looking: whoever sees its screen is in. No key and no password exist, so nobody comes in from elsewhere.
  services.getty.autologinUser = "root";
  services.birthmark = {
    sma.enable = true;
    node.enable = true;
    camera = {
      enable = true;
      gps.enable = false;
    };
    signer.package = pkgs.birthmark-signer-rehearsal;
    capture = {
      package = pkgs.birthmark-capture-rehearsal;
      settings.source = {
        kind = "simulated";
        sensor = 1;
      };
    };
  };
}
