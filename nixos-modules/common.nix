# What every machine with a Birthmark daemon gets, whichever daemon it is.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  cfg = config.services.birthmark;
  daemons = [
    "signer"
    "gps"
    "capture"
    "sma"
    "node"
  ];
  ours = import ./lib.nix { inherit lib pkgs; };
  # By port: 0.0.0.0 and 127.0.0.1 are not the same text, and cannot both be had.
  shared = lib.optionals (cfg.sma.enable && cfg.node.enable) (
    lib.filter (
      address: ours.hasPort address && lib.elem (ours.portOf address) (map ours.portOf cfg.node.listen)
    ) cfg.sma.listen
  );
  # The backups that are made of this machine's databases.
  copies = map (daemon: "restic-backups-birthmark-${daemon}.service") (
    lib.filter (daemon: cfg.${daemon}.enable && cfg.${daemon}.backup.enable) [
      "node"
      "sma"
    ]
  );
  # What journald.conf(5) takes for MaxRetentionSec: it ignores anything else, and keeps everything.
  unit = "(us|ms|s|sec|seconds?|m|min|minutes?|h|hr|hours?|d|days?|w|weeks?|M|months?|y|years?)?";
  isTimeSpan = text: builtins.match "([0-9]+ ?${unit} ?)+" text != null;
  # Minutes since midnight; null for what is no time of day.
  minutesOf =
    text:
    let
      parts = builtins.match "([01][0-9]|2[0-3]):([0-5][0-9])" text;
    in
    if parts == null then
      null
    else
      lib.toIntBase10 (lib.head parts) * 60 + lib.toIntBase10 (lib.last parts);
  inherit (cfg.autoUpgrade) window;
  begins = minutesOf window.lower;
  ends = minutesOf window.upper;
  # The window may reach past midnight.
  lasts = if ends < begins then ends - begins + 24 * 60 else ends - begins;
in
{
  imports = [
    ./alarm.nix
    ./health.nix
    ./monitoring.nix
  ];

  options.services.birthmark = {
    commonPackage = lib.mkPackageOption pkgs "birthmark-common" { };

    journal.keep = lib.mkOption {
      type = lib.types.str;
      default = "90day";
      example = "1year";
      description = "How long the journal is kept. Older entries are removed; see {manpage}`journald.conf(5)`, MaxRetentionSec.";
    };

    autoUpgrade = {
      enable = lib.mkEnableOption "unattended upgrades from a flake, at night: daemons are restarted at once, the machine when the upgrade needs it";
      flake = lib.mkOption {
        type = lib.types.nullOr lib.types.str;
        default = null;
        example = "github:my-library/our-validator#validator";
        description = "The flake to upgrade from. Its lock decides the versions; nothing is updated past it.";
      };
      window = {
        lower = lib.mkOption {
          type = lib.types.str;
          default = "02:00";
          description = "The time of day at which the upgrade begins.";
        };
        upper = lib.mkOption {
          type = lib.types.str;
          default = "04:00";
          description = "No reboot after this time of day.";
        };
      };
      stagger = lib.mkOption {
        type = lib.types.ints.unsigned;
        default = 30;
        example = 90;
        description = ''
          Over how many minutes the machines of one flake spread their upgrades. Each has a minute of its own, the same every
          night, so that the validators of an institution are not all away at once.
        '';
      };
    };
  };

  config = lib.mkIf (lib.any (daemon: cfg.${daemon}.enable) daemons) {
    systemd.packages = [ cfg.commonPackage ];
    # For `journalctl -x`. Beside its own, systemd here reads explanations from /usr/local only, and compiles what it finds.
    systemd.services.journal-explanations = {
      description = "Make the journal's explanations of Birthmark's messages known";
      wantedBy = [ "multi-user.target" ];
      after = [ "systemd-journal-catalog-update.service" ];
      unitConfig.RequiresMountsFor = [ "/var/lib" ];
      script = ''
        mkdir -p /usr/local/lib/systemd/catalog
        ln -sfn ${cfg.commonPackage}/lib/systemd/catalog/birthmark.catalog /usr/local/lib/systemd/catalog/birthmark.catalog
        journalctl --update-catalog
      '';
      serviceConfig = ours.confined // {
        Type = "oneshot";
        RemainAfterExit = true;
        PrivateNetwork = true;
        PrivateDevices = true;
        RestrictAddressFamilies = "AF_UNIX";
        ReadWritePaths = [
          "/usr"
          "/var/lib/systemd"
        ];
        UMask = "0022";
      };
    };

    # Certificates, tokens and blocks are judged by time: a machine without the time of day refuses good photos.
    services.chrony.enable = lib.mkDefault true;
    services.journald.extraConfig = "MaxRetentionSec=${cfg.journal.keep}";
    networking.firewall.enable = lib.mkDefault true;

    system.autoUpgrade = lib.mkIf cfg.autoUpgrade.enable {
      enable = true;
      inherit (cfg.autoUpgrade) flake;
      # What the lock says, and no channel.
      upgrade = false;
      # With the same kernel, only a switch ever brings the new daemons; with another one, the machine is started again.
      operation = "switch";
      allowReboot = true;
      # Inside the window: its first minute does not count, and a machine that slept through it does not make up for it by day.
      dates = "*-*-* ${cfg.autoUpgrade.window.lower}:59";
      randomizedDelaySec = "${toString cfg.autoUpgrade.stagger}min";
      fixedRandomDelay = true;
      persistent = false;
      rebootWindow = { inherit (cfg.autoUpgrade.window) lower upper; };
    };
    # Every upgrade leaves the system before on the disk: without this the last one is the one for which there is no room.
    nix.gc = lib.mkIf cfg.autoUpgrade.enable {
      automatic = lib.mkDefault true;
      dates = lib.mkDefault "Sun *-*-* 05:00";
      # What is older than this nobody goes back to; the system that runs and those since are kept.
      options = lib.mkDefault "--delete-older-than 30d";
    };
    nix.settings = lib.mkIf cfg.autoUpgrade.enable {
      # And meanwhile, as soon as it becomes tight.
      min-free = lib.mkDefault (1024 * 1024 * 1024);
      max-free = lib.mkDefault (3 * 1024 * 1024 * 1024);
    };
    # No upgrade without a copy of what a newer version may rewrite.
    systemd.services.nixos-upgrade = lib.mkIf (cfg.autoUpgrade.enable && copies != [ ]) {
      requires = copies;
      after = copies;
    };
    services.birthmark.alarm.units =
      map (daemon: "birthmark-${daemon}") (lib.filter (daemon: cfg.${daemon}.enable) daemons)
      ++ lib.optionals cfg.autoUpgrade.enable [
        "nixos-upgrade"
        "nix-gc"
      ];

    assertions = [
      {
        assertion = cfg.autoUpgrade.enable -> cfg.autoUpgrade.flake != null;
        message = "services.birthmark.autoUpgrade.enable needs services.birthmark.autoUpgrade.flake: which flake describes this machine?";
      }
      {
        assertion =
          cfg.autoUpgrade.enable -> !lib.hasPrefix "github:our-library/" (toString cfg.autoUpgrade.flake);
        message = "services.birthmark.autoUpgrade.flake = \"${toString cfg.autoUpgrade.flake}\" is the template's own: every night's upgrade would fail. Put your flake there, or switch autoUpgrade off.";
      }
      {
        assertion = begins != null;
        message = "services.birthmark.autoUpgrade.window.lower = \"${window.lower}\" is no time of day. Write for example \"02:00\".";
      }
      {
        assertion = ends != null;
        message = "services.birthmark.autoUpgrade.window.upper = \"${window.upper}\" is no time of day. Write for example \"04:00\".";
      }
      {
        assertion = begins != null && ends != null -> cfg.autoUpgrade.stagger < lasts;
        message = "services.birthmark.autoUpgrade.stagger = ${toString cfg.autoUpgrade.stagger} minutes: from ${window.lower} to ${window.upper} there are ${toString lasts}, so that some machines would begin when none may be started again. Take less, or a longer window.";
      }
      {
        assertion =
          let
            email = config.security.acme.defaults.email;
          in
          config.security.acme.certs != { } -> !ours.isPlaceholder email;
        message = "security.acme.defaults.email = \"${toString config.security.acme.defaults.email}\" is an example's address: put one there that somebody reads. With security.acme.acceptTerms the issuer's terms are accepted in your name.";
      }
      {
        assertion = shared == [ ];
        message = "services.birthmark.sma.listen and services.birthmark.node.listen: both listen on ${lib.concatStringsSep ", " shared}. Give one of them another port.";
      }
      {
        assertion = isTimeSpan cfg.journal.keep;
        message = "services.birthmark.journal.keep = \"${cfg.journal.keep}\" is no length of time. Write for example \"90day\" or \"1year\".";
      }
    ];
    warnings = lib.optional (!config.networking.firewall.enable) (
      "The firewall is off on a machine that runs Birthmark daemons. Every port that is opened in a module here assumes that "
      + "all others are closed."
    );
  };
}
