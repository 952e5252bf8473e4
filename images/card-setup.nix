# A card without keyboard or screen is set up from its FAT partition, which every computer can read and write: a person edits
# one text file, puts the card in, and reads back from the same place what happened.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  setup = pkgs.writeShellApplication {
    name = "birthmark-card-setup";
    runtimeInputs = [
      pkgs.coreutils
      pkgs.gawk
      pkgs.iw
      config.services.birthmark.capture.package
    ];
    text = builtins.readFile ./card-setup.sh;
  };
  enrol = pkgs.writeShellApplication {
    name = "birthmark-card-enrol";
    runtimeInputs = [
      pkgs.coreutils
      pkgs.gnused
      pkgs.birthmark-command
    ];
    text = builtins.readFile ./card-enrol.sh;
  };
in
{
  # The daemon reads a file outside the store: the built one, with what the card was told.
  services.birthmark.capture.settingsFile = "/var/lib/birthmark-card/capture.toml";

  # As insistent as the firmware's own module, which would otherwise have the partition for itself.
  sdImage.populateFirmwareCommands = lib.mkForce (
    lib.mkAfter ''
      cp ${./birthmark-setup.txt} firmware/birthmark-setup.example.txt
    ''
  );

  systemd.services.card-setup = {
    description = "Take over birthmark-setup.txt from the card";
    # Wanted, not required: with a card whose FAT partition is broken, photos are taken with the settings of last time.
    wantedBy = [
      "multi-user.target"
      "birthmark-capture.service"
    ];
    after = [ "boot-firmware.mount" ];
    wants = [ "boot-firmware.mount" ];
    before = [
      "birthmark-capture.service"
      "iwd.service"
      "sshd.service"
    ];
    unitConfig.RequiresMountsFor = [ "/var/lib" ];
    serviceConfig = {
      Type = "oneshot";
      RemainAfterExit = true;
      ExecStart = "${lib.getExe setup} /boot/firmware /etc/birthmark/capture.toml /var/lib/birthmark-card /var/lib/iwd";
      UMask = "0077";
    };
  };

  # Not a oneshot: starting the camera does not wait for an authority. Tried until it is enrolled, ever more slowly: the network
  # may come tomorrow, and the time of day with it.
  systemd.services.card-enrol = {
    description = "Enrol the camera with the authority that birthmark-setup.txt names";
    wantedBy = [ "multi-user.target" ];
    after = [
      "card-setup.service"
      "network.target"
      "birthmark-signer.socket"
    ];
    wants = [ "birthmark-signer.socket" ];
    unitConfig.ConditionPathExists = "/var/lib/birthmark-card/enrol";
    serviceConfig = {
      Type = "exec";
      ExecStart = "${lib.getExe enrol} /boot/firmware /var/lib/birthmark-card/enrol";
      UMask = "0077";
      # It talks to the network as root, since only root may ask the signer to enrol.
      NoNewPrivileges = true;
      CapabilityBoundingSet = "";
      ProtectSystem = "strict";
      ReadWritePaths = [
        "/boot/firmware"
        "/var/lib/birthmark-card"
      ];
      ProtectHome = true;
      PrivateTmp = true;
      PrivateDevices = true;
      ProtectKernelTunables = true;
      ProtectKernelModules = true;
      ProtectControlGroups = true;
      Restart = "on-failure";
      RestartSec = "15s";
      RestartSteps = 5;
      RestartMaxDelaySec = "10min";
    };
  };

  users.users.photographer = {
    isNormalUser = true;
    extraGroups = [
      "wheel"
      # The daemons' sockets, and the photos.
      "birthmark"
      "birthmark-capture"
    ];
  };
  security.sudo.wheelNeedsPassword = false;
  services.openssh = {
    enable = true;
    settings = {
      PasswordAuthentication = false;
      KbdInteractiveAuthentication = false;
      PermitRootLogin = "no";
    };
    authorizedKeysFiles = [ "/var/lib/birthmark-card/keys/%u" ];
    hostKeys = [
      {
        path = "/var/lib/ssh/host_ed25519";
        type = "ed25519";
      }
    ];
  };
}
