# A camera: its three daemons together, the time of day, and the way photos leave it.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  cfg = config.services.birthmark.camera;
  ours = import ./lib.nix { inherit lib pkgs; };
  photos = config.services.birthmark.capture.settings.photos;
in
{
  imports = [
    ./signer.nix
    ./gps.nix
    ./capture.nix
  ];

  options.services.birthmark.camera = {
    enable = lib.mkEnableOption "a Birthmark camera: signer, GPS and capture on one machine";

    gps.enable = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = "Whether the camera has a GPS receiver.";
    };

    pps.enable = lib.mkEnableOption ''
      the receiver's pulse per second as a clock. The pulse says when a second begins, not which: the seconds are numbered by
      what the receiver says or by network time, so this sharpens the clock'';

    share = {
      enable = lib.mkEnableOption "the photos as a read-only network folder, and as web pages for computers that enter no folder as a guest";
      writable = lib.mkEnableOption "deleting photos over the network folder, which otherwise is read-only. Photos leave the card this way only: what waits to be sent is kept elsewhere";
      interface = lib.mkOption {
        type = lib.types.str;
        default = "usb0";
        example = "wlan0";
        description = "The only interface the folder is offered on. The default is the USB cable: whoever holds it holds the camera.";
      };
    };
  };

  config = lib.mkIf cfg.enable {
    services.birthmark.signer.enable = true;
    services.birthmark.capture.enable = true;
    services.birthmark.gps.enable = cfg.gps.enable;
    # Without a network nothing else sets the clock of a machine that keeps no time while it is off.
    services.birthmark.gps.giveTime = lib.mkIf cfg.gps.enable (lib.mkDefault true);
    # Beside the listing of the folders, the state of each photo's proof.
    services.birthmark.capture.settings.page = lib.mkIf cfg.share.enable true;
    services.birthmark.capture.settings.gps = lib.mkIf cfg.gps.enable "/run/birthmark/gps";

    # The units of the package have another program's path; what they say is in ../systemd/birthmark-renew.*.
    systemd.services.birthmark-renew = {
      description = "Have the camera's certificate renewed before it ends";
      wants = [ "birthmark-signer.socket" ];
      after = [
        "birthmark-signer.socket"
        "network.target"
      ];
      # As root, since only root may have the signer attest; it needs none of root's powers.
      serviceConfig = ours.confined // {
        Type = "oneshot";
        ExecStart = "${pkgs.birthmark-command}/bin/birthmark renew --if-due";
        # It could not be done, mostly for want of a network: the timer tries again.
        SuccessExitStatus = 2;
        PrivateDevices = true;
        RestrictAddressFamilies = "AF_UNIX AF_INET AF_INET6";
        SocketBindDeny = "any";
      };
    };
    systemd.timers.birthmark-renew = {
      description = "Look several times a day whether the camera's certificate ends soon";
      wantedBy = [ "timers.target" ];
      timerConfig = {
        OnBootSec = "5min";
        OnUnitInactiveSec = "6h";
        RandomizedDelaySec = "10min";
      };
    };

    # The Pi keeps no time while it is off: step at any distance, at any time, instead of slewing for days.
    services.chrony.extraConfig = ''
      makestep 1 -1
      ${lib.optionalString cfg.pps.enable "refclock PPS /dev/pps0 poll 4 refid PPS"}
    '';
    boot.kernelModules = lib.mkIf cfg.pps.enable [ "pps-gpio" ];
    # The camera says with each photo what its clock was worth. It looks for the mark that systemd's own time daemon leaves;
    # chrony leaves none that others may see.
    systemd.services.clock-mark = {
      description = "Mark the clock as synchronised once chrony says so";
      wantedBy = [ "multi-user.target" ];
      after = [ "chronyd.service" ];
      bindsTo = [ "chronyd.service" ];
      # Not a oneshot: starting the machine does not wait for the time.
      script = ''
        ${lib.getExe' config.services.chrony.package "chronyc"} -h 127.0.0.1 waitsync 0 0.5
        ${lib.getExe' pkgs.coreutils "install"} -D -m 0644 /dev/null /run/systemd/timesync/synchronized
      '';
      postStop = "${lib.getExe' pkgs.coreutils "rm"} -f /run/systemd/timesync/synchronized";
      serviceConfig = ours.confined // {
        RemainAfterExit = true;
        UMask = "0022";
        ReadWritePaths = [ "/run/systemd" ];
        PrivateDevices = true;
        RestrictAddressFamilies = "AF_UNIX AF_INET";
        SocketBindDeny = "any";
        IPAddressDeny = "any";
        IPAddressAllow = "localhost";
      };
    };

    services.samba = lib.mkIf cfg.share.enable {
      enable = true;
      nmbd.enable = false;
      winbindd.enable = false;
      settings = {
        global = {
          "server role" = "standalone server";
          # The firewall keeps it to one interface. Bound to that, smbd would have to be started after every cable.
          "smb ports" = "445";
          "map to guest" = "Bad User";
          "server min protocol" = "SMB3";
        };
        photos = {
          path = photos;
          "read only" = if cfg.share.writable then "no" else "yes";
          "guest ok" = "yes";
          "force user" = "birthmark-capture";
          # A photo appears under its own name when it is whole; half-written ones begin with a dot.
          "veto files" = "/.*/";
        };
      };
    };
    services.nginx = lib.mkIf cfg.share.enable {
      enable = true;
      commonHttpConfig = "access_log off;";
      logError = lib.mkDefault "stderr emerg";
      virtualHosts = {
        birthmark-photos = {
          # An address, or a name that only neighbours can give.
          serverName = "${config.networking.hostName}.local";
          serverAliases = [ "~^[0-9.]+$" ];
          root = photos;
          extraConfig = "autoindex on;";
          # As above: not yet whole.
          locations."~ /\\.".return = "404";
        };
        # A page from the internet whose name points here would read the photos with its visitor's browser.
        birthmark-strangers = {
          serverName = "_";
          default = true;
          locations."/".return = "403";
        };
      };
    };
    # It may read the photos, and reaches nothing else of the camera's.
    systemd.services.nginx = lib.mkIf cfg.share.enable {
      serviceConfig = {
        SupplementaryGroups = [ "birthmark-capture" ];
        InaccessiblePaths = [
          "-/var/lib/birthmark-capture"
          "-/run/birthmark"
        ];
      };
    };
    networking.firewall.interfaces.${cfg.share.interface}.allowedTCPPorts = lib.mkIf cfg.share.enable [
      80
      445
    ];
    assertions = [
      {
        assertion = cfg.share.enable -> config.networking.firewall.enable;
        message = "services.birthmark.camera.share relies on networking.firewall.enable: without it the photos are offered on every network.";
      }
    ];

    environment.systemPackages = [ pkgs.birthmark-command ];
  };
}
