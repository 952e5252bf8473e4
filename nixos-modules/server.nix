# The two HTTP daemons differ in what they do, not in how a machine runs them: database, TLS in front, firewall, backup.
{
  daemon,
  port,
  about,
  # name = sentence, for every credential the daemon reads
  credentials,
  # those of them that are any 32 bytes, and are drawn on the first start if nobody gives them
  generated ? [ ],
  # what the daemon's settings say when its database is the local PostgreSQL
  databaseSettings,
  # what the settings say when nobody says otherwise
  defaults ? { },
  # networks = what the daemon's settings say when it stands behind proxies with these addresses
  behind,
  # the daemon's own command that copies its database; a file follows
  backupCommand,
  # name: folder: onPostgresql: what the settings say instead when a backup is restored for a drill
  drillSettings,
  # settings: the paths that must come back from no backup, nor be read from one
  neverInBackups ? _: [ ],
  # file: the daemon's own commands that restore a backup and look through it
  drillCommands,
  # the largest request the daemon takes, as nginx writes sizes
  bodySize,
}:

{
  config,
  lib,
  pkgs,
  ...
}:

let
  service = "birthmark-${daemon}";
  cfg = config.services.birthmark.${daemon};
  ours = import ./lib.nix { inherit lib pkgs; };
  file = ours.checkedFile {
    inherit daemon;
    inherit (cfg) package settings;
  };
  stateDir = "/var/lib/${service}";
  copy = "${stateDir}/backup";
  drills = cfg.backup.enable && cfg.backup.drill.enable;
  scratch = "/var/lib/${service}-drill";
  runuser = lib.getExe' pkgs.util-linux "runuser";
  drillFile = ours.checkedFile {
    inherit daemon;
    inherit (cfg) package;
    settings = lib.recursiveUpdate cfg.settings (drillSettings service scratch onPostgresql);
  };
  # Given by whoever set this machine up, or drawn here.
  drawn = lib.filter (name: !cfg.credentials ? ${name}) generated;
  onPostgresql = lib.hasPrefix "postgres" (cfg.settings.database or "");
  reachable = lib.any (
    address:
    !lib.hasPrefix "127." address && !lib.hasPrefix "[::1]" address && !lib.hasPrefix "/" address
  ) cfg.listen;
in
{
  imports = [
    ./common.nix
    ./front.nix
  ];

  options.services.birthmark.${daemon} = {
    enable = lib.mkEnableOption about;
    package = lib.mkPackageOption pkgs service { };

    settings = lib.mkOption {
      type = lib.types.submodule { freeformType = ours.settingsType; };
      default = { };
      description = "The content of /etc/birthmark/${daemon}.toml, checked by the daemon when the system is built.";
    };

    credentials = ours.credentialsOption credentials;
    knownCredentials = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = lib.attrNames credentials;
      internal = true;
      readOnly = true;
      description = "The credentials that the daemon reads.";
    };

    listen = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ "127.0.0.1:${toString port}" ];
      example = [ "[::]:${toString port}" ];
      description = "Addresses systemd listens on for the daemon; a restart of the daemon refuses nobody.";
    };

    openFirewall = lib.mkOption {
      type = lib.types.bool;
      default = false;
      description = ''
        Whether to open the ports: those of `listen`, or 80 and 443 when there is a TLS front. Of a validator among several
        also that of `settings.network.listen`, behind which only the keys that its settings name get any further.
      '';
    };

    database.createLocally = lib.mkOption {
      type = lib.types.bool;
      default = false;
      description = ''
        Whether to run PostgreSQL on this machine, with a database of the daemon's own that it reaches over the local socket
        as its own user: no password exists. Otherwise the daemon keeps SQLite in ${stateDir}.
      '';
    };

    front = {
      enable = lib.mkEnableOption "nginx in front, with TLS";
      hostName = lib.mkOption {
        type = lib.types.nullOr lib.types.str;
        default = null;
        example = "validator.library.example";
        description = "The name people reach this service by.";
      };
      acme = lib.mkOption {
        type = lib.types.bool;
        default = true;
        description = "Whether to get the certificate by ACME. Otherwise set `services.nginx.virtualHosts` certificates yourself.";
      };
    };

    backup = {
      enable = lib.mkEnableOption "daily backups with restic";
      repository = lib.mkOption {
        type = lib.types.nullOr lib.types.str;
        default = null;
        example = "sftp:backup@archive.library.example:/birthmark";
        description = "Where restic keeps the backups.";
      };
      passwordFile = lib.mkOption {
        type = lib.types.nullOr lib.types.str;
        default = null;
        example = "/run/secrets/restic-password";
        description = "A path outside the Nix store with the password of the repository. Keep a copy elsewhere: without it a backup is noise.";
      };
      drill = {
        enable = lib.mkOption {
          type = lib.types.bool;
          default = true;
          description = ''
            Whether the newest backup is restored each week into a scratch place and looked through there. It needs as much
            room for a while as the database has; the alarm of `services.birthmark.alarm` goes off if it fails.
          '';
        };
        dates = lib.mkOption {
          type = lib.types.str;
          default = "Sat *-*-* 03:00";
          description = "When, as systemd writes moments ({manpage}`systemd.time(7)`).";
        };
      };
    };
  };

  config = lib.mkIf cfg.enable {
    systemd.packages = [ cfg.package ];
    # Its own commands are how an administrator sets it up and looks after it.
    environment.systemPackages = [ cfg.package ];
    systemd.services.${service} = lib.mkMerge [
      (ours.unit {
        inherit file;
        inherit (cfg) credentials;
      })
      (lib.mkIf cfg.database.createLocally {
        # Not required: the daemon waits for its database by itself, and would not be started again after PostgreSQL was.
        wants = [ "postgresql.target" ];
        after = [ "postgresql.target" ];
      })
    ];
    # A switch restarts no socket, so addresses that have changed are taken over by this. It restarts the daemon as well.
    systemd.services."listen-${service}" = {
      description = "Take over changed addresses of ${service}.socket";
      wantedBy = [ "multi-user.target" ];
      after = [ "${service}.socket" ];
      script = ''
        addresses=${lib.escapeShellArg (toString cfg.listen)}
        taken=/run/listen-${service}/addresses
        if [ -e "$taken" ] && [ "$(cat "$taken")" != "$addresses" ]; then
          systemctl try-restart ${service}.socket
        fi
        printf '%s' "$addresses" > "$taken"
      '';
      serviceConfig = ours.confined // {
        Type = "oneshot";
        RemainAfterExit = true;
        RuntimeDirectory = "listen-${service}";
        RuntimeDirectoryPreserve = true;
        # systemd restarts a unit for nobody else.
        CapabilityBoundingSet = "CAP_SYS_ADMIN";
        PrivateNetwork = true;
        PrivateDevices = true;
        RestrictAddressFamilies = "AF_UNIX";
      };
    };
    # Keys that nobody has to think of are drawn before the first start: never over one that is there, wherever systemd
    # would take it from.
    systemd.services."draw-${service}-keys" = lib.mkIf (drawn != [ ]) {
      description = "Draw the keys of ${service} that nobody gave it";
      requiredBy = [ "${service}.service" ];
      before = [ "${service}.service" ];
      unitConfig.RequiresMountsFor = [ "/var/lib" ];
      script = ''
        ${builtins.readFile ../systemd/draw-keys.sh}
        ${lib.concatMapStringsSep "\n" (name: "draw_key /etc ${service}.${name}") drawn}
      '';
      serviceConfig = ours.confined // {
        Type = "oneshot";
        RemainAfterExit = true;
        PrivateNetwork = true;
        PrivateDevices = true;
        RestrictAddressFamilies = "none";
        ReadWritePaths = [
          "/etc"
          "-/var/lib/credstore"
        ];
      };
    };
    systemd.sockets.${service} = {
      wantedBy = [ "sockets.target" ];
      # The empty entry takes back the address of the unit file.
      listenStreams = lib.mkIf (cfg.listen != [ "127.0.0.1:${toString port}" ]) ([ "" ] ++ cfg.listen);
    };

    environment.etc."birthmark/${daemon}.toml".source = file;
    users.users.${service} = ours.account [ ] // {
      group = service;
    };
    users.groups.${service} = { };

    services.birthmark.${daemon}.settings = lib.mkMerge [
      (lib.mapAttrs (_: lib.mkDefault) defaults)
      (lib.mkIf cfg.database.createLocally (databaseSettings service))
      # Without this the front would be every request's client: all would share one limit, and the authority would take the
      # internet for this machine's own users.
      (lib.mkIf cfg.front.enable (behind [
        "127.0.0.1/32"
        "::1/128"
      ]))
    ];
    services.postgresql = lib.mkIf cfg.database.createLocally {
      enable = true;
      ensureDatabases = [ service ];
      ensureUsers = [
        {
          name = service;
          ensureDBOwnership = true;
        }
      ];
    };

    services.nginx = lib.mkIf cfg.front.enable {
      virtualHosts.${toString cfg.front.hostName} = {
        forceSSL = true;
        enableACME = cfg.front.acme;
        extraConfig = ''
          ${builtins.readFile ./front/server.conf}
          # As much as the daemon itself takes at once, and kept in memory: what waits for the rest of a request
          # is an opening or a certificate, and stands in no file.
          client_max_body_size ${bodySize};
          client_body_buffer_size ${bodySize};
        '';
        locations."/" = {
          proxyPass = ours.proxyTo (lib.head cfg.listen);
          # Ours instead, which believe nothing that a client says about where it comes from.
          recommendedProxySettings = false;
          extraConfig = builtins.readFile ./front/location.conf;
        };
        # Figures are for the machine's own monitoring.
        locations."/metrics".return = "404";
      };
    };
    networking.firewall.allowedTCPPorts = lib.mkIf cfg.openFirewall (
      (
        if cfg.front.enable then
          [
            80
            443
          ]
        else
          lib.filter (port: port != null) (map ours.portOf cfg.listen)
      )
      ++ lib.optional (cfg.settings ? network.listen) (ours.portOf cfg.settings.network.listen)
    );

    services.restic.backups.${service} = lib.mkIf cfg.backup.enable {
      initialize = true;
      inherit (cfg.backup) repository passwordFile;
      paths = [ stateDir ];
      # A copy of a live database file is not a database: the daemon itself writes a consistent one first. If that fails, so
      # does the backup, rather than keep an old copy as today's.
      backupPrepareCommand = ''
        set -eu
        umask 0077
        rm -f ${copy} ${copy}.unfinished
        ${lib.optionalString onPostgresql "export PATH=${config.services.postgresql.package}/bin:$PATH"}
        ${lib.getExe' pkgs.util-linux "runuser"} -u ${service} -- ${lib.getExe cfg.package} ${backupCommand} ${copy}
      '';
      backupCleanupCommand = "rm -f ${copy} ${copy}.unfinished";
      exclude = [
        # The live files, for the consistent copy.
        "${stateDir}/*.sqlite"
        "${stateDir}/*.sqlite-wal"
        "${stateDir}/*.sqlite-shm"
        "${stateDir}/*.db"
        "${stateDir}/*.db-wal"
        "${stateDir}/*.db-shm"
      ]
      ++ neverInBackups cfg.settings;
      timerConfig = {
        OnCalendar = "daily";
        RandomizedDelaySec = "1h";
        Persistent = true;
      };
      pruneOpts = [
        "--keep-daily 14"
        "--keep-weekly 8"
        "--keep-monthly 24"
      ];
    };

    # A backup that was never restored is a hope. First it is fetched, by root, who knows the repository's password; then it is
    # restored as the daemon's own user, into a database beside the real one.
    systemd.services."fetch-${service}-backup" = lib.mkIf drills {
      description = "Fetch the newest backup of ${service} for its restore drill";
      path = [ pkgs.coreutils ] ++ lib.optional onPostgresql config.services.postgresql.package;
      after = [ "restic-backups-${service}.service" ];
      script = ''
        rm -rf ${scratch}
        install -d -m 0700 -o ${service} -g ${service} ${scratch} ${scratch}/db
        /run/current-system/sw/bin/restic-${service} restore latest --target ${scratch}/fetched
        ${lib.optionalString onPostgresql ''
          ${runuser} -u postgres -- dropdb --if-exists ${service}-drill
          ${runuser} -u postgres -- createdb --owner ${service} ${service}-drill
        ''}
        chown -R ${service}:${service} ${scratch}
      '';
      serviceConfig.Type = "oneshot";
    };
    systemd.services."drill-${service}-restore" = lib.mkIf drills {
      description = "Restore the newest backup of ${service} into a scratch place, and look through it";
      requires = [ "fetch-${service}-backup.service" ];
      after = [ "fetch-${service}-backup.service" ];
      path = lib.optional onPostgresql config.services.postgresql.package;
      script = ''
        ${lib.concatMapStringsSep "\n" (
          command: "${lib.getExe cfg.package} --config ${drillFile} ${command}"
        ) (drillCommands "${scratch}/fetched${copy}")}
        echo "the newest backup of ${service} can be restored"
      '';
      serviceConfig = ours.confined // {
        Type = "oneshot";
        User = service;
        Group = service;
        ReadWritePaths = [ scratch ];
        inherit (ours.credentialsOf daemon cfg.knownCredentials cfg.credentials)
          LoadCredential
          ImportCredential
          ;
        PrivateDevices = true;
        DeviceAllow = "char-tpm rw";
        RestrictAddressFamilies = "AF_UNIX";
      };
      postStop = "${lib.getExe' pkgs.coreutils "rm"} -rf ${scratch}/fetched ${scratch}/db";
    };
    # systemd only logs that it does not understand a moment, and the drill would never run.
    system.checks = lib.mkIf drills [
      (pkgs.runCommand "${service}-drill-dates" { nativeBuildInputs = [ pkgs.buildPackages.systemd ]; } ''
        dates=${lib.escapeShellArg cfg.backup.drill.dates}
        if ! systemd-analyze calendar "$dates" > "$out" 2>&1; then
          echo "services.birthmark.${daemon}.backup.drill.dates = \"$dates\" is no moment that systemd understands. Write for example \"Sat *-*-* 03:00\"." >&2
          exit 1
        fi
      '')
    ];
    systemd.timers."drill-${service}-restore" = lib.mkIf drills {
      wantedBy = [ "timers.target" ];
      timerConfig = {
        OnCalendar = cfg.backup.drill.dates;
        RandomizedDelaySec = "30min";
        Persistent = true;
      };
    };
    services.birthmark.alarm.units =
      lib.optional cfg.backup.enable "restic-backups-${service}"
      ++ lib.optionals drills [
        "fetch-${service}-backup"
        "drill-${service}-restore"
      ];

    assertions = ours.credentialAssertions daemon credentials cfg.credentials ++ [
      {
        assertion = cfg.front.enable -> cfg.front.hostName != null;
        message = "services.birthmark.${daemon}.front.enable needs services.birthmark.${daemon}.front.hostName: which name does the certificate carry?";
      }
      {
        assertion = cfg.front.enable && cfg.front.acme -> config.security.acme.acceptTerms;
        message = "services.birthmark.${daemon}.front gets its certificate by ACME: read the issuer's terms, then set security.acme.acceptTerms = true and security.acme.defaults.email.";
      }
      {
        assertion = cfg.front.enable && cfg.front.acme -> !ours.isPlaceholder cfg.front.hostName;
        message = "services.birthmark.${daemon}.front.hostName = \"${toString cfg.front.hostName}\" is an example's name, for which nobody gives a certificate: put your own there.";
      }
      {
        assertion = cfg.backup.enable -> !ours.isPlaceholder cfg.backup.repository;
        message = "services.birthmark.${daemon}.backup.repository = \"${toString cfg.backup.repository}\" is an example: no backup would ever arrive there.";
      }
      {
        assertion = cfg.backup.enable -> cfg.backup.repository != null && cfg.backup.passwordFile != null;
        message = "services.birthmark.${daemon}.backup.enable needs both services.birthmark.${daemon}.backup.repository and .passwordFile.";
      }
      {
        assertion =
          cfg.backup.passwordFile == null || !lib.hasPrefix builtins.storeDir cfg.backup.passwordFile;
        message = "services.birthmark.${daemon}.backup.passwordFile is in the Nix store, where everyone can read it: give a path outside, in quotes.";
      }
      {
        assertion = (cfg.settings.rehearsal or false) -> !cfg.front.enable && !cfg.openFirewall;
        message = "services.birthmark.${daemon}.settings.rehearsal is for trying things out on one machine: it vouches for cameras that prove nothing. Without it, or without services.birthmark.${daemon}.front and openFirewall.";
      }
      {
        assertion = cfg.openFirewall && !cfg.front.enable -> lib.all ours.hasPort cfg.listen;
        message = "services.birthmark.${daemon}.openFirewall: which port is to be opened? services.birthmark.${daemon}.listen = ${
          lib.concatMapStringsSep ", " (address: "\"${address}\"") (
            lib.filter (address: !ours.hasPort address) cfg.listen
          )
        } names none. Write for example \"[::]:${toString port}\", or switch openFirewall off.";
      }
      {
        assertion = cfg.listen != [ ];
        message = "services.birthmark.${daemon}.listen is empty: give at least one address, for example \"127.0.0.1:${toString port}\".";
      }
    ];
    warnings =
      lib.optional (reachable && !cfg.front.enable) (
        "services.birthmark.${daemon}.listen reaches beyond this machine without TLS. Set services.birthmark.${daemon}.front, or "
        + "make sure that something else speaks TLS for it, which says in X-Forwarded-For who asks, and which trusted_proxies "
        + "in the settings names."
      )
      ++ lib.optional (cfg.openFirewall && !reachable && !cfg.front.enable) (
        "services.birthmark.${daemon}.openFirewall opens a port that only this machine listens on: set "
        + "services.birthmark.${daemon}.front or an address in services.birthmark.${daemon}.listen."
      );
  };
}
