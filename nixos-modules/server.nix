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
  reachable = lib.any (
    address: !lib.hasPrefix "127." address && !lib.hasPrefix "[::1]" address
  ) cfg.listen;
in
{
  imports = [ ./common.nix ];

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
        requires = [ "postgresql.target" ];
        after = [ "postgresql.target" ];
      })
    ];
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
      enable = true;
      recommendedTlsSettings = true;
      recommendedOptimisation = true;
      virtualHosts.${toString cfg.front.hostName} = {
        forceSSL = true;
        enableACME = cfg.front.acme;
        # Who asks about which photo is nobody's business: no addresses are written down.
        extraConfig = ''
          access_log off;
          client_max_body_size 1m;
        '';
        locations."/" = {
          proxyPass = "http://${lib.head cfg.listen}";
          # Answers that are streams (block notices) must not wait for a full buffer.
          extraConfig = ''
            proxy_buffering off;
            proxy_read_timeout 1h;
          '';
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
        map (address: lib.toInt (lib.last (lib.splitString ":" address))) cfg.listen
    );

    services.restic.backups.${service} = lib.mkIf cfg.backup.enable {
      initialize = true;
      inherit (cfg.backup) repository passwordFile;
      paths = [ stateDir ] ++ lib.optional cfg.database.createLocally "/var/backup/${service}";
      # A copy of a live database file is not a database: SQLite and PostgreSQL each write a consistent copy first.
      backupPrepareCommand =
        if cfg.database.createLocally then
          ''
            ${lib.getExe' pkgs.coreutils "install"} -d -m 0700 -o postgres /var/backup/${service}
            ${lib.getExe' pkgs.util-linux "runuser"} -u postgres -- \
              ${lib.getExe' config.services.postgresql.package "pg_dump"} --format=custom \
              --file=/var/backup/${service}/database.dump ${service}
          ''
        else
          ''
            for database in ${stateDir}/*.sqlite ${stateDir}/*.db; do
              test -e "$database" || continue
              ${lib.getExe pkgs.sqlite} "$database" ".backup '$database.copy'"
            done
          '';
      # The live files are left out for the consistent copies.
      exclude = lib.optionals (!cfg.database.createLocally) [
        "${stateDir}/*.sqlite"
        "${stateDir}/*.sqlite-wal"
        "${stateDir}/*.sqlite-shm"
        "${stateDir}/*.db"
        "${stateDir}/*.db-wal"
        "${stateDir}/*.db-shm"
      ];
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
        assertion = cfg.listen != [ ];
        message = "services.birthmark.${daemon}.listen is empty: give at least one address, for example \"127.0.0.1:${toString port}\".";
      }
    ];
    warnings =
      lib.optional (reachable && !cfg.front.enable) (
        "services.birthmark.${daemon}.listen reaches beyond this machine without TLS. Set services.birthmark.${daemon}.front, or "
        + "make sure that something else speaks TLS for it."
      )
      ++ lib.optional (cfg.openFirewall && !reachable && !cfg.front.enable) (
        "services.birthmark.${daemon}.openFirewall opens a port that only this machine listens on: set "
        + "services.birthmark.${daemon}.front or an address in services.birthmark.${daemon}.listen."
      );
  };
}
