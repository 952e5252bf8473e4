# A card without keyboard or screen is set up from its FAT partition, which every computer can read and write: a person edits
# one text file, puts the card in, and reads back from the same place what happened.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  ours = import ../nixos-modules/lib.nix { inherit lib pkgs; };
  setup = pkgs.writeShellApplication {
    name = "birthmark-card-setup";
    runtimeInputs = [
      pkgs.coreutils
      pkgs.gawk
      pkgs.gnugrep
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
    # It reads what everybody who holds the card may write.
    serviceConfig = ours.confined // {
      Type = "oneshot";
      RemainAfterExit = true;
      ExecStart = "${lib.getExe setup} /boot/firmware /etc/birthmark/capture.toml /var/lib/birthmark-card /var/lib/iwd";
      UMask = "0077";
      StateDirectory = [
        "birthmark-card"
        "iwd"
      ];
      StateDirectoryMode = "0700";
      ReadWritePaths = [
        "-/boot/firmware"
        # The board's light.
        "-/sys/class/leds"
        "-/sys/devices/platform/leds"
      ];
      PrivateDevices = true;
      PrivateNetwork = true;
      RestrictAddressFamilies = "none";
      IPAddressDeny = "any";
    };
  };
  # Which radio channels are allowed has to be said again at every start, and the radio is there when it is there.
  systemd.services.card-radio = {
    description = "Say in which country the radio is";
    wantedBy = [ "sys-subsystem-net-devices-wlan0.device" ];
    after = [
      "sys-subsystem-net-devices-wlan0.device"
      "card-setup.service"
    ];
    unitConfig.ConditionPathExists = "/var/lib/birthmark-card/wifi-country";
    script = ''
      iw reg set "$(cat /var/lib/birthmark-card/wifi-country)"
    '';
    path = [
      pkgs.coreutils
      pkgs.iw
    ];
    serviceConfig = ours.confined // {
      Type = "oneshot";
      RemainAfterExit = true;
      CapabilityBoundingSet = "CAP_NET_ADMIN";
      PrivateDevices = true;
      RestrictAddressFamilies = "AF_NETLINK";
      IPAddressDeny = "any";
      Restart = "on-failure";
      RestartSec = "5s";
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
    # It talks to the network as root, since only root may ask the signer to enrol.
    serviceConfig = ours.confined // {
      Type = "exec";
      ExecStart = "${lib.getExe enrol} /boot/firmware /var/lib/birthmark-card/enrol";
      UMask = "0077";
      ReadWritePaths = [
        "-/boot/firmware"
        "/var/lib/birthmark-card"
      ];
      PrivateDevices = true;
      RestrictAddressFamilies = "AF_UNIX AF_INET AF_INET6";
      SocketBindDeny = "any";
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
