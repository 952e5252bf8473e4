# The two HTTP daemons differ in what they do, not in how a machine runs them: database, TLS in front, firewall, backup.
{
  daemon,
  port,
  about,
  # name = sentence, for every credential the daemon reads
  credentials,
  # what the daemon's settings say when its database is the local PostgreSQL
  databaseSettings,
  # what the settings say when nobody says otherwise
  defaults ? { },
  # networks = what the daemon's settings say when it stands behind proxies with these addresses
  behind,
  # the daemon's own command that copies its database; a file follows
  backupCommand,
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

    listen = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ "127.0.0.1:${toString port}" ];
      example = [ "[::]:${toString port}" ];
      description = "Addresses systemd listens on for the daemon; a restart of the daemon refuses nobody.";
    };

    openFirewall = lib.mkOption {
      type = lib.types.bool;
      default = false;
      description = "Whether to open the ports: those of `listen`, or 80 and 443 when there is a TLS front.";
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
        taken=/run/listen-${service}
        if [ -e "$taken" ] && [ "$(cat "$taken")" != "$addresses" ]; then
          systemctl try-restart ${service}.socket
        fi
        printf '%s' "$addresses" > "$taken"
      '';
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
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
      if cfg.front.enable then
        [
          80
          443
        ]
      else
        lib.filter (port: port != null) (map ours.portOf cfg.listen)
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
        # How far a validator has signed. Restored together with its database it would be set back as well, and no longer
        # notice.
        "${stateDir}/*.signed"
      ]
      ++ lib.optional (cfg.settings ? signed_heights) cfg.settings.signed_heights;
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
        assertion = cfg.backup.enable -> cfg.backup.repository != null && cfg.backup.passwordFile != null;
        message = "services.birthmark.${daemon}.backup.enable needs both services.birthmark.${daemon}.backup.repository and .passwordFile.";
      }
      {
        assertion =
          cfg.backup.passwordFile == null || !lib.hasPrefix builtins.storeDir cfg.backup.passwordFile;
        message = "services.birthmark.${daemon}.backup.passwordFile is in the Nix store, where everyone can read it: give a path outside, in quotes.";
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
