# What a machine does with the modules' settings, where a mistake would be silent: each sentence must hold in the configuration
# that comes out.
{
  self,
  pkgs,
  lib,
  nixpkgs,
  everything,
}:

let
  evaluate = import ./evaluate.nix { inherit pkgs lib nixpkgs; };

  # Both servers with all they can have. PostgreSQL for one, SQLite for the other.
  full = evaluate {
    security.acme = {
      acceptTerms = true;
      defaults.email = "it@library.example";
    };
    # So that its file can be read here.
    services.nginx.enableReload = true;
    services.birthmark = lib.genAttrs [ "node" "sma" ] (name: {
      enable = true;
      database.createLocally = name == "node";
      front = {
        enable = true;
        hostName = "${name}.library.example";
      };
      backup = {
        enable = true;
        repository = "/backup";
        passwordFile = "/run/secrets/restic-password";
      };
    });
  };
  inherit (full.services) restic;
  nginx = full.environment.etc."nginx/nginx.conf".source.text;
  server = self.nixosConfigurations.validator.config;
  card = self.nixosConfigurations.camera.config;
  unitOf = config: name: config.systemd.units.${name}.text;
  unit = unitOf full;
  both = holds: holds "node" && holds "sma";
  # Only the words: nothing that they name is built for them.
  has = text: part: lib.hasInfix (builtins.unsafeDiscardStringContext part) text;

  loopback = [
    "127.0.0.1/32"
    "::1/128"
  ];
  # Whatever else can be set: one machine, since each costs an evaluation as much as all of these sentences together.
  other = evaluate {
    services.grafana = {
      enable = true;
      settings.security.secret_key = "$__file{/run/secrets/grafana}";
    };
    services.birthmark = {
      alarm.url = "https://ntfy.library.example/birthmark";
      autoUpgrade = {
        enable = true;
        flake = "github:institution/validator#validator";
        window.lower = "23:30";
        window.upper = "01:00";
      };
      monitoring = {
        enable = true;
        alerts.enable = true;
        board.enable = true;
      };
      camera = {
        enable = true;
        share.enable = true;
      };
      node = {
        enable = true;
        listen = [ "[::]:8545" ];
        openFirewall = true;
        settings.signed_heights = "/var/lib/birthmark-node/heights";
        settings.witness = {
          folder = "/var/lib/birthmark-node/cosigned";
          logs = [ ];
        };
        settings.network = {
          listen = "0.0.0.0:8546";
          peers = [ ];
        };
        backup = {
          enable = true;
          repository = "/backup";
          passwordFile = "/run/secrets/restic-password";
        };
      };
      sma = {
        enable = true;
        credentials.authority-vault = "/run/secrets/vault";
      };
    };
  };

  promises = {
    "the front allows one client so much and all together so much, however many daemons are behind it" =
      # nixpkgs would write an empty part and leave nginx its 512 connections.
      lib.all (line: lib.length (lib.splitString line nginx) == 2) [
        "worker_processes auto;"
        "worker_rlimit_nofile 65536;"
        "worker_connections 16384;"
        "limit_conn_zone $birthmark_client zone=birthmark_clients:10m;"
        "limit_conn_status 429;"
        "client_header_timeout 10s;"
        "client_body_timeout 15s;"
        "send_timeout 15s;"
        "keepalive_timeout "
        "client_max_body_size 1m;"
        "client_body_buffer_size 1m;"
        "client_max_body_size 5m;"
        "client_body_buffer_size 5m;"
      ]
      && lib.all (line: lib.length (lib.splitString line nginx) == 3) [
        "limit_conn birthmark_clients 64;"
        "add_header Strict-Transport-Security \"max-age=31536000\" always;"
        "proxy_read_timeout 60s;"
        "proxy_buffering off;"
      ];
    "the front says who asks, and nothing a client says about that is passed on" =
      lib.all
        (
          line:
          # Once for each daemon, and in no other words.
          lib.length (lib.splitString line nginx) == 3
        )
        [
          "proxy_pass http://127.0.0.1:"
          "proxy_set_header X-Forwarded-For $remote_addr;"
          "proxy_set_header X-Forwarded-For "
          "proxy_set_header Host $host;"
          "proxy_set_header Host "
        ]
      && !has nginx "recommended-proxy";
    "the daemons believe their front, so that none of its requests is this machine's own" =
      full.services.birthmark.sma.settings.trusted_proxies == loopback
      && full.services.birthmark.node.settings.http.trusted_proxies == loopback;
    "without a front nobody is believed" =
      !(everything.services.birthmark.sma.settings ? trusted_proxies);
    "no request is written down, nor what went wrong with it" =
      lib.length (lib.splitString "access_log" nginx) == 2
      && has nginx "\naccess_log off;"
      && has nginx "\nerror_log stderr emerg;"
      && lib.length (lib.splitString "error_log" nginx) == 2;

    "a backup is the daemon's own copy, as its own user" =
      has restic.backups.birthmark-node.backupPrepareCommand "/runuser -u birthmark-node -- ${lib.getExe pkgs.birthmark-node} backup /var/lib/birthmark-node/backup"
      && has restic.backups.birthmark-node.backupPrepareCommand "${full.services.postgresql.package}/bin:"
      && has restic.backups.birthmark-sma.backupPrepareCommand "/runuser -u birthmark-sma -- ${lib.getExe pkgs.birthmark-sma} backup --to /var/lib/birthmark-sma/backup"
      && both (name: lib.hasPrefix "set -eu\n" restic.backups."birthmark-${name}".backupPrepareCommand);
    "a backup never holds how far a validator has signed, nor the keys of what waits" =
      lib.all (path: lib.elem path other.services.restic.backups.birthmark-node.exclude) [
        "/var/lib/birthmark-node/heights"
        # Beside it, where the daemon puts what its settings do not name.
        "/var/lib/birthmark-node/heights.keys"
        "/var/lib/birthmark-node/heights.consensus"
        # And where they do.
        "/var/lib/birthmark-node/cosigned"
      ]
      && lib.all (path: lib.elem path restic.backups.birthmark-node.exclude) [
        "/var/lib/birthmark-guard/node.signed"
        "/var/lib/birthmark-guard/node.keys"
        "/var/lib/birthmark-guard/node.witness"
      ];

    "a restart by a switch stops no socket" =
      lib.all (name: has (unitOf everything "birthmark-${name}.service") "X-StopIfChanged=false")
        [
          "node"
          "sma"
          "signer"
          "gps"
          "capture"
        ];
    "a switch takes over changed addresses" =
      let
        inherit (other.systemd.services.listen-birthmark-node) script;
      in
      has script "addresses='[::]:8545'" && has script "systemctl try-restart birthmark-node.socket";

    "an upgrade begins inside its window, and brings what does not need a new kernel" =
      let
        inherit (other.systemd.services.nixos-upgrade) script;
      in
      other.systemd.timers.nixos-upgrade.timerConfig.OnCalendar == [ "*-*-* 23:30:59" ]
      && !other.systemd.timers.nixos-upgrade.timerConfig.Persistent
      && has script "lower=\"23:30\""
      && has script "nixos-rebuild switch --refresh"
      && !has script "--upgrade";

    "the journal's explanations lie where this systemd reads them" =
      has everything.systemd.services.journal-explanations.script "/usr/local/lib/systemd/catalog/birthmark.catalog"
      && has everything.systemd.services.journal-explanations.script "journalctl --update-catalog";

    "an image has room for the state partition at its own size" =
      has self.nixosConfigurations.validator.config.system.build.disk.postVM "\"$diskImage\" +8G";
    "a server takes its administrator's key from the virtual machine's owner" =
      let
        inherit (self.nixosConfigurations.validator) config;
      in
      lib.any (rule: rule ? "f^" && rule."f^".argument == "ssh.authorized_keys.root") (
        lib.concatMap lib.attrValues (lib.attrValues config.systemd.tmpfiles.settings)
      )
      && lib.elem "%h/.ssh/authorized_keys" config.services.openssh.authorizedKeysFiles
      && lib.elem "dmi_sysfs" config.boot.initrd.availableKernelModules;
    "only the trial machine photographs paintings, in a demonstration that reaches nothing else" =
      lib.all (
        host:
        host.config.services.birthmark.capture.enable
        -> host.config.services.birthmark.capture.package != host.pkgs.birthmark-capture-rehearsal
      ) (lib.attrValues self.nixosConfigurations)
      &&
        lib.attrNames (
          lib.filterAttrs (_: host: host.config.systemd.services ? trial) self.nixosConfigurations
        ) == [ "trial" ]
      && (
        let
          demonstration = self.nixosConfigurations.trial.config.systemd.services.trial;
        in
        has demonstration.serviceConfig.ExecStart "/bin/birthmark demo "
        && demonstration.serviceConfig.IPAddressDeny == "any"
        && lib.elem pkgs.swtpm.name (map (program: program.name) demonstration.path)
      );
    "only the trial machine lets in whoever sees its screen" =
      lib.attrNames (
        lib.filterAttrs (_: host: host.config.services.getty.autologinUser != null) self.nixosConfigurations
      ) == [ "trial" ];

    "photos are offered on the cable only, and to nobody whom a page from the internet leads there" =
      let
        config = other;
        hosts = config.services.nginx.virtualHosts;
      in
      config.networking.firewall.interfaces.usb0.allowedTCPPorts == [
        80
        445
      ]
      && !lib.any (port: lib.elem port config.networking.firewall.allowedTCPPorts) [
        80
        445
      ]
      && !(config.services.samba.settings.global ? "bind interfaces only")
      && hosts.birthmark-strangers.default
      && hosts.birthmark-strangers.locations."/".return == "403"
      && hosts.birthmark-photos.locations."~ /\\.".return == "404"
      && has (unitOf config "nginx.service") "InaccessiblePaths=-/run/birthmark\n";
    "a card is found by its name, takes systems from its photographer, and its boot loader hears no GPS receiver" =
      let
        inherit (self.nixosConfigurations.camera) config;
        uboot = config.hardware.raspberry-pi.firmware.uboot.package;
      in
      lib.all (name: config.systemd.network.networks.${name}.networkConfig.MulticastDNS) [
        "20-usb"
        "99-ethernet-default-dhcp"
        "99-wireless-client-dhcp"
      ]
      && lib.elem 5353 config.networking.firewall.allowedUDPPorts
      && lib.elem "@wheel" config.nix.settings.trusted-users
      && has uboot.extraConfig "CONFIG_BOOTDELAY=-2"
      && has uboot.postPatch "stdin=nulldev,usbkbd";

    "the card's first stage asks for nothing that the Pi's kernel lacks" =
      let
        inherit (self.nixosConfigurations.camera.config) boot hardware;
        # Each with the option that brings it, as that kernel (bcm2711_defconfig, and modules where nixpkgs
        # may choose) has them. A module that joins the list has to be looked up there first: building
        # the initrd ends at the first that is missing, and nobody sees that before an image is built.
        known = {
          autofs = "AUTOFS_FS=y";
          dm_mod = "BLK_DEV_DM=m";
          efivarfs = "EFIVAR_FS=m";
          ext2 = "EXT4_USE_FOR_EXT2=y";
          ext4 = "EXT4_FS=y";
          hid_generic = "HID_GENERIC=y";
          mmc_block = "MMC_BLOCK=y";
          pcie-brcmstb = "PCIE_BRCMSTB=y";
          reset-raspberrypi = "RESET_RASPBERRYPI, with RASPBERRYPI_FIRMWARE=y";
          sd_mod = "BLK_DEV_SD=y";
          uas = "USB_UAS=m";
          usb-storage = "USB_STORAGE=y";
          usbhid = "USB_HID=y";
          vc4 = "DRM_VC4=m";
          xhci_pci = "USB_XHCI_PCI=y";
        };
        asked = boot.initrd.availableKernelModules ++ boot.initrd.kernelModules;
      in
      !hardware.enableAllHardware
      && lib.all (name: known ? ${name}) asked
      # And it finds the card it lies on.
      && lib.all (name: lib.elem name asked) [
        "mmc_block"
        "ext4"
      ];
    "where there is no network, the satellites set the camera's clock" =
      let
        inherit (card.systemd) services;
        socket = "/run/chrony.birthmark.sock";
      in
      (card.services.birthmark.gps.settings.chrony_socket or null) == socket
      && has card.services.chrony.extraConfig "\nrefclock SOCK ${socket} "
      && lib.any (lib.hasSuffix "/chown birthmark-gps: ${socket}") services.chronyd.serviceConfig.ExecStartPost
      && services.birthmark-gps.wantedBy == [ "multi-user.target" ]
      && lib.elem "chronyd.service" services.birthmark-gps.after;
    "the card's radio has its countries" =
      self.nixosConfigurations.camera.config.hardware.wirelessRegulatoryDatabase;
    "the sensor of the scenarios is in their machine's kernel" = lib.any (
      patch:
      patch.structuredExtraConfig.V4L_TEST_DRIVERS or null == lib.kernel.yes
      && patch.structuredExtraConfig.VIDEO_VIVID or null == lib.kernel.module
    ) (import ../vm-tests/machine.nix { inherit pkgs lib; } "sensor").boot.kernelPatches;

    "keys and what waits are in no dump and in no swap" =
      let
        sandbox = builtins.readFile ../systemd/birthmark-.service.d/50-sandbox.conf;
      in
      lib.all (line: has sandbox "\n${line}\n") [
        "LimitCORE=0"
        "MemorySwapMax=0"
        "MemoryZSwapMax=0"
      ];
    "how far a validator has signed lies where nothing takes it back with the database" =
      lib.all
        (
          node:
          lib.hasPrefix "/var/lib/birthmark-guard/" node.settings.signed_heights
          # Beside it, and in no backup either.
          && !(node.settings ? row_keys)
        )
        [
          full.services.birthmark.node
          everything.services.birthmark.node
        ]
      && has (builtins.readFile ../systemd/birthmark-node.service) "StateDirectory=birthmark-node birthmark-guard\n"
      && server.fileSystems."/var/lib/birthmark-guard".device == "/dev/disk/by-partlabel/birthmark-guard"
      && !lib.any (
        path: lib.hasPrefix path "/var/lib/birthmark-guard"
      ) restic.backups.birthmark-node.paths;
    "a key that nobody has to think of is drawn before the first start, and one that was given is not" =
      has (unit "draw-birthmark-node-keys.service") "Before=birthmark-node.service"
      && full.systemd.services.draw-birthmark-node-keys.requiredBy == [ "birthmark-node.service" ]
      && has full.systemd.services.draw-birthmark-node-keys.script "\ndraw_key /etc birthmark-node.lookup-key"
      && !has full.systemd.services.draw-birthmark-node-keys.script "\ndraw_key /etc birthmark-node.vote-key"
      && has full.systemd.services.draw-birthmark-sma-keys.script "\ndraw_key /etc birthmark-sma.authority-vault"
      && !(other.systemd.services ? draw-birthmark-sma-keys);
    "a backup is restored each week into a scratch place, and never into the real one" =
      let
        drill = full.systemd.services.drill-birthmark-node-restore;
      in
      full.systemd.timers.drill-birthmark-node-restore.wantedBy == [ "timers.target" ]
      && has drill.script " restore /var/lib/birthmark-node-drill/fetched/var/lib/birthmark-node/backup"
      && has drill.script " fsck"
      && drill.serviceConfig.User == "birthmark-node"
      && drill.serviceConfig.ReadWritePaths == [ "/var/lib/birthmark-node-drill" ]
      && has full.systemd.services.drill-birthmark-sma-restore.script " audit verify";
    "what runs beside the daemons is as confined as they are" =
      lib.all
        (
          name:
          lib.all (has (unitOf everything "${name}.service")) [
            "ProtectSystem=strict"
            "NoNewPrivileges=yes"
            "SystemCallFilter=~@privileged @resources"
            "LimitCORE=0"
          ]
          # Those lines are of a daemon that shows that it lives.
          && !has (unitOf everything "${name}.service") "WatchdogSec="
        )
        [
          "clock-mark"
          "draw-birthmark-node-keys"
          "draw-birthmark-sma-keys"
          "journal-explanations"
          "listen-birthmark-node"
          "listen-birthmark-sma"
          "note-what-works"
          "boot-check"
          "boot-doctor"
        ]
      &&
        lib.all
          (
            name:
            lib.all (has (unitOf card "${name}.service")) [
              "ProtectSystem=strict"
              "NoNewPrivileges=yes"
              "SystemCallFilter=~@privileged @resources"
            ]
          )
          [
            "card-setup"
            "card-enrol"
            "card-radio"
            "usb-gadget"
          ];
    "the cable is a network that every computer takes without a driver" =
      lib.elem "libcomposite" card.boot.kernelModules
      && !lib.elem "g_ether" card.boot.kernelModules
      && has card.services.udev.extraRules "ENV{SYSTEMD_WANTS}+=\"usb-gadget.service\""
      && card.systemd.network.networks."20-usb".matchConfig.Name == "usb0";
    "a camera that hangs is started again, and one that is full can be emptied over the cable" =
      card.systemd.settings.Manager.RuntimeWatchdogSec == "14s"
      && lib.elem "panic=30" card.boot.kernelParams
      && card.services.samba.settings.photos."read only" == "no"
      && card.zramSwap.enable
      && card.swapDevices == [ ]
      && card.nix.gc.automatic;
    "what fails for good is told, whatever it is" =
      lib.all (name: has (unitOf other "${name}.service") "OnFailure=alarm@%n.service") [
        "birthmark-node"
        "nixos-upgrade"
        "nix-gc"
        "restic-backups-birthmark-node"
        "fetch-birthmark-node-backup"
        "drill-birthmark-node-restore"
      ]
      # And an upgrade has a copy before it, a look after it, and room for the next one.
      && has (unitOf other "nixos-upgrade.service") "Requires=restic-backups-birthmark-node.service"
      && lib.hasSuffix "/bin/birthmark-upgrade-check" other.systemd.services.nixos-upgrade.serviceConfig.ExecStartPost
      && other.nix.gc.automatic;
    "a validator among several is reached by the others" =
      lib.all (port: lib.elem port other.networking.firewall.allowedTCPPorts) [
        8545
        8546
      ]
      && !lib.elem 8546 full.networking.firewall.allowedTCPPorts;
    "the machines of one flake are not all away at once" =
      other.systemd.timers.nixos-upgrade.timerConfig.RandomizedDelaySec == "30min"
      && other.systemd.timers.nixos-upgrade.timerConfig.FixedRandomDelay;
    "a server that does not work with a new system goes back to the one before" =
      server.systemd.services.boot-check.requiredBy == [ "boot-complete.target" ]
      && has server.systemd.units."boot-check.service".text "FailureAction=reboot"
      # Answering is not enough: its keys open, its database is whole, and it makes blocks.
      && server.systemd.services.boot-doctor.requiredBy == [ "boot-complete.target" ]
      && lib.all (has server.systemd.units."boot-doctor.service".text) [
        "FailureAction=reboot"
        " doctor --boot --patience 300 --at http://127.0.0.1:8545"
        "User=birthmark-node"
        "ImportCredential=birthmark-node.vote-key:vote-key"
        "/test -e /var/lib/private/birthmark-healthy/node"
      ]
      && (server.boot.loader.systemd-boot.bootCounting.enable or true);
    "a server finds the disks of other machines, and survives a hung kernel" =
      lib.all (name: lib.elem name server.boot.initrd.availableKernelModules) [
        "vmw_pvscsi"
        "hv_storvsc"
        "xen_blkfront"
        "megaraid_sas"
        "mpt3sas"
        "usb_storage"
      ]
      && server.zramSwap.enable
      && server.swapDevices == [ ]
      && server.systemd.settings.Manager.RuntimeWatchdogSec == "60s";
    "the alert rules and the board are those files" =
      other.services.prometheus.ruleFiles == [ ../nixos-modules/monitoring/alerts.yml ]
      && other.services.prometheus.listenAddress == "127.0.0.1"
      && lib.any (job: job.job_name == "birthmark-node") other.services.prometheus.scrapeConfigs
      && lib.any (
        provider: provider.options.path == ../nixos-modules/monitoring
      ) other.services.grafana.provision.dashboards.settings.providers;

    "a validator survives its PostgreSQL" =
      has (unit "birthmark-node.service") "Wants=postgresql.target"
      && has (unit "birthmark-node.service") "After=postgresql.target"
      && !has (unit "birthmark-node.service") "Requires=";
  };
  broken = lib.attrNames (lib.filterAttrs (_: holds: !holds) promises);
in
if broken != [ ] then
  throw "These promises are not kept: ${lib.concatStringsSep "; " broken}"
else
  pkgs.runCommand "birthmark-promises" { } ''
    echo "${toString (lib.length (lib.attrNames promises))} promises" > "$out"
  ''
