# Whoever looks after this machine is told when something on it has failed for good: a daemon that does not try again, an
# upgrade, a backup, a restore drill.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  cfg = config.services.birthmark.alarm;
  ours = import ./lib.nix { inherit lib pkgs; };
  wanted = cfg.url != null || cfg.command != null;
  tell = pkgs.writeShellApplication {
    name = "birthmark-tell";
    runtimeInputs = [
      pkgs.coreutils
      pkgs.curl
      config.systemd.package
    ];
    text = ''
      export ALARM_URL=${lib.escapeShellArg (toString cfg.url)}
      export ALARM_COMMAND=${lib.escapeShellArg (toString cfg.command)}
      ${builtins.readFile ./tell.sh}
    '';
  };
in
{
  options.services.birthmark.alarm = {
    url = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = null;
      example = "https://ntfy.library.example/birthmark";
      description = "Where an alarm is sent by POST, as plain text: which machine, which unit, and the last lines of its journal.";
    };
    tokenFile = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = null;
      example = "/run/secrets/alarm-token";
      description = "A path outside the Nix store with the bearer token for `url`, if it wants one.";
    };
    command = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = null;
      example = lib.literalExpression ''"''${pkgs.msmtp}/bin/msmtp it@library.example"'';
      description = "A command that is given the alarm on its standard input, for example one that sends a letter. It runs as a user of its own.";
    };
    units = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      internal = true;
      description = "The services whose failure is an alarm.";
    };
  };

  config = lib.mkIf (wanted && cfg.units != [ ]) {
    systemd.services =
      lib.genAttrs cfg.units (_: {
        onFailure = [ "alarm@%n.service" ];
      })
      // {
        "alarm@" = {
          description = "Tell somebody that %i has failed";
          after = [ "network.target" ];
          startLimitIntervalSec = 0;
          serviceConfig = ours.confined // {
            Type = "oneshot";
            ExecStart = "${lib.getExe tell} %i";
            DynamicUser = true;
            SupplementaryGroups = [ "systemd-journal" ];
            LoadCredential = lib.mkIf (cfg.tokenFile != null) "token:${cfg.tokenFile}";
            PrivateDevices = true;
            PrivateUsers = true;
            RestrictAddressFamilies = "AF_UNIX AF_INET AF_INET6";
            SocketBindDeny = "any";
            # A network that is away comes back.
            Restart = "on-failure";
            RestartSec = "10s";
            RestartSteps = 6;
            RestartMaxDelaySec = "10min";
          };
        };
      };
    assertions = [
      {
        assertion = cfg.tokenFile == null || !lib.hasPrefix builtins.storeDir cfg.tokenFile;
        message = "services.birthmark.alarm.tokenFile is in the Nix store, where everyone can read it: give a path outside, in quotes.";
      }
    ];
  };
}
