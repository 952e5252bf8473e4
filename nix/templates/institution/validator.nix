# What makes this validator ours. Whatever is still the example's (names under library.example, the flake to upgrade from, no
# SSH key) is refused in words when it is built. `nix build .#nixosConfigurations.validator.config.system.build.disk` makes its
# first disk; afterwards `nixos-rebuild switch --flake .#validator --target-host root@validator.library.example`.
{ config, lib, ... }:

let
  # Made by `sops secrets.yaml`; see secrets/README.md in Birthmark. Until then the machine builds without it: keys are read from
  # /etc/credstore, and there are no backups.
  hasSecrets = builtins.pathExists ./secrets.yaml;
  secret = name: config.sops.secrets.${name}.path;
in
{
  networking.hostName = "validator";
  users.users.root.openssh.authorizedKeys.keys = [
    # "ssh-ed25519 AAAA… librarian@desk"
  ];
  assertions = [
    {
      assertion = config.users.users.root.openssh.authorizedKeys.keys != [ ];
      message = "validator.nix names no SSH key: after its first start nobody could enter this machine.";
    }
  ];

  sops = lib.mkIf hasSecrets {
    # Encrypted to this machine's host key and to the administrators.
    defaultSopsFile = ./secrets.yaml;
    age.sshKeyPaths = [ "/var/lib/ssh/host_ed25519" ];
    secrets = {
      vote-key.restartUnits = [ "birthmark-node.service" ];
      checkpoint-key.restartUnits = [ "birthmark-node.service" ];
      lookup-key.restartUnits = [ "birthmark-node.service" ];
      restic-password = { };
    };
  };

  services.birthmark = {
    node = {
      enable = true;
      database.createLocally = true;
      front = {
        enable = true;
        hostName = "validator.library.example";
      };
      openFirewall = true;
      credentials = lib.mkIf hasSecrets (
        lib.genAttrs [
          "vote-key"
          "checkpoint-key"
          "lookup-key"
        ] secret
      );
      backup = lib.mkIf hasSecrets {
        enable = true;
        repository = "sftp:backup@archive.library.example:/birthmark";
        passwordFile = secret "restic-password";
      };
    };
    monitoring.enable = true;
    autoUpgrade = {
      enable = true;
      flake = "github:our-library/our-validator#validator";
    };
  };
  # The archive's host key, and a key of this machine's root that the archive lets in: see "Backup and restore" in Birthmark's
  # docs/OPERATING.md.
  # programs.ssh.knownHosts."archive.library.example".publicKey = "ssh-ed25519 AAAA…";
  security.acme = {
    acceptTerms = true;
    defaults.email = "it@library.example";
  };
}
