# Whether this machine does its work, asked when it matters: after a boot from a new system, and after an upgrade. A system
# with which it does not gives way to the one before.
{
  config,
  lib,
  options,
  pkgs,
  ...
}:

let
  cfg = config.services.birthmark;
  servers = lib.filter (daemon: cfg.${daemon}.enable) [
    "node"
    "sma"
  ];
  ours = import ./lib.nix { inherit lib pkgs; };
  check = pkgs.writeShellApplication {
    name = "birthmark-healthy";
    runtimeInputs = [
      pkgs.coreutils
      pkgs.curl
    ];
    text = builtins.readFile ./healthy.sh;
  };
  questions = lib.concatMap (daemon: [
    daemon
    (ours.urlOf (lib.head cfg.${daemon}.listen))
  ]) servers;
  healthy =
    patience:
    lib.escapeShellArgs (
      [
        (lib.getExe check)
        "/var/lib/birthmark-healthy"
        (toString patience)
      ]
      ++ questions
    );
  # Asks this machine's own daemons, and remembers in one folder whoever of the two units it is.
  asker = ours.confined // {
    DynamicUser = true;
    User = "birthmark-healthy";
    StateDirectory = "birthmark-healthy";
    PrivateDevices = true;
    PrivateUsers = true;
    RestrictAddressFamilies = "AF_UNIX AF_INET AF_INET6";
    SocketBindDeny = "any";
    IPAddressDeny = "any";
    IPAddressAllow = "localhost";
  };
  # Not in every nixpkgs.
  counts = options.boot.loader.systemd-boot ? bootCounting;
in
{
  config = lib.mkIf (servers != [ ]) (
    lib.mkMerge [
      {
        # What has worked once is what a new system must be able to. Noted while all is well, in a folder of its own.
        systemd.services.note-what-works = {
          description = "Note which daemons work on this machine";
          after = map (daemon: "birthmark-${daemon}.service") servers;
          serviceConfig = asker // {
            Type = "oneshot";
            ExecStart = healthy 0;
            # What it finds is noted, and is no failure of its own: the daemons' units say what is wrong with them.
            SuccessExitStatus = 1;
          };
        };
        systemd.timers.note-what-works = {
          wantedBy = [ "timers.target" ];
          timerConfig = {
            OnBootSec = "10min";
            OnUnitActiveSec = "1h";
          };
        };
      }
      (lib.mkIf config.boot.loader.systemd-boot.enable (
        lib.optionalAttrs counts {
          # systemd-boot counts down the tries of an entry that has never been called good, and takes the one before when
          # there are none left. Called good is what reaches boot-complete.target.
          boot.loader.systemd-boot.bootCounting.enable = lib.mkDefault true;
        }
      ))
      {
        systemd.services.boot-check = {
          description = "Whether this machine does its work with the system it was started from";
          # Pulled in by systemd only while the entry's tries are counted: a system that was good before is not judged again,
          # and a machine is started again no more often than there are tries.
          requiredBy = [ "boot-complete.target" ];
          before = [ "boot-complete.target" ];
          after = map (daemon: "birthmark-${daemon}.service") servers;
          unitConfig.FailureAction = "reboot";
          serviceConfig = asker // {
            Type = "oneshot";
            RemainAfterExit = true;
            ExecStart = healthy 600;
            TimeoutStartSec = "15min";
          };
        };
      }
      (lib.mkIf cfg.node.enable {
        # Who answers may still have the wrong keys, or make no blocks. As the validator's own user, who alone opens both.
        systemd.services.boot-doctor = {
          description = "Whether the validator's keys, database and blocks are well with the system this machine was started from";
          requiredBy = [ "boot-complete.target" ];
          before = [ "boot-complete.target" ];
          after = [
            "birthmark-node.service"
            "boot-check.service"
          ];
          unitConfig.FailureAction = "reboot";
          serviceConfig = ours.confined // {
            Type = "oneshot";
            RemainAfterExit = true;
            # Only a validator that has worked on this machine, whatever it was started from. Root's eyes: the note is in the
            # private folder of a user that comes and goes.
            ExecCondition = "+${lib.getExe' pkgs.coreutils "test"} -e /var/lib/private/birthmark-healthy/node";
            ExecStart = "${lib.getExe cfg.node.package} --config /etc/birthmark/node.toml doctor --boot --patience 300 --at ${lib.escapeShellArg (ours.urlOf (lib.head cfg.node.listen))}";
            TimeoutStartSec = "15min";
            User = "birthmark-node";
            Group = "birthmark-node";
            # SQLite's readers keep their marks beside the file.
            ReadWritePaths = [ "-/var/lib/birthmark-node" ];
            inherit (ours.credentialsOf "node" cfg.node.knownCredentials cfg.node.credentials)
              LoadCredential
              ImportCredential
              ;
            PrivateDevices = true;
            DeviceAllow = "char-tpm rw";
            RestrictAddressFamilies = "AF_UNIX AF_INET AF_INET6";
            SocketBindDeny = "any";
          };
        };
      })
      (lib.mkIf cfg.autoUpgrade.enable {
        # After the switch. With another kernel nothing was switched yet, and this finds the machine as it was.
        systemd.services.nixos-upgrade.serviceConfig.ExecStartPost = lib.getExe (
          pkgs.writeShellApplication {
            name = "birthmark-upgrade-check";
            runtimeInputs = [ pkgs.nix ];
            text = ''
              if ${healthy 300}; then
                exit 0
              fi
              echo "going back to the system before" >&2
              nix-env --profile /nix/var/nix/profiles/system --rollback
              /nix/var/nix/profiles/system/bin/switch-to-configuration switch
              exit 1
            '';
          }
        );
      })
    ]
  );
}
