# Everything on one machine, to look at: whoever starts it sees an authority begin, a camera with an emulated chip enrolled, and
# its painted photos registered and verified. It reaches only itself, and begins anew at each start. Not for production: whoever
# runs the authority must not run the validator.
{ lib, pkgs, ... }:

let
  ours = import ../nixos-modules/lib.nix { inherit lib pkgs; };
in
{
  imports = [ ./server.nix ];
  networking.hostName = "trial";
  # It is for looking: whoever sees its screen is in. No key and no password exist, so nobody comes in from elsewhere.
  services.getty.autologinUser = "root";
  environment.loginShellInit = ''
    echo "The demonstration: photos and keys are in /run/trial/demo, the validator is http://127.0.0.1:8545. Ctrl-C for a shell."
    journalctl --unit=trial --boot --follow --output=cat || true
  '';

  systemd.services.trial = {
    description = "An authority, a validator, a camera with an emulated chip, and photos through all of them";
    wantedBy = [ "multi-user.target" ];
    path = [ pkgs.swtpm ];
    serviceConfig = ours.confined // {
      Type = "exec";
      ExecStart = "${lib.getExe pkgs.birthmark-command} demo --sma-port 8001 --node-port 8545 --dir /run/trial/demo";
      DynamicUser = true;
      # The folder has to be new, and is: this one goes with the service.
      RuntimeDirectory = "trial";
      PrivateDevices = true;
      PrivateUsers = true;
      RestrictAddressFamilies = "AF_UNIX AF_INET AF_INET6";
      IPAddressDeny = "any";
      IPAddressAllow = "localhost";
      Restart = "on-failure";
      RestartSec = "5s";
    };
  };
}
