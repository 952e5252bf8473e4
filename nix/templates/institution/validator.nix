# What makes this validator ours. `nix build .#nixosConfigurations.validator.config.system.build.images.qemu-efi` makes its
# first disk; afterwards `nixos-rebuild switch --flake .#validator --target-host root@validator.library.example`.
{ config, ... }:

{
  networking.hostName = "validator";
  users.users.root.openssh.authorizedKeys.keys = [
    # "ssh-ed25519 AAAA… librarian@desk"
  ];

  sops = {
    # Encrypted to this machine's host key and to the administrators; see .sops.yaml and secrets/README.md in Birthmark.
    defaultSopsFile = ./secrets.yaml;
    # Until the file exists, the machine builds without it.
    validateSopsFiles = false;
    age.sshKeyPaths = [ "/var/lib/ssh/host_ed25519" ];
    secrets.restic-password = { };
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
      backup = {
        enable = true;
        repository = "sftp:backup@archive.library.example:/birthmark";
        passwordFile = config.sops.secrets.restic-password.path;
      };
    };
    monitoring.enable = true;
    autoUpgrade = {
      enable = true;
      flake = "github:our-library/our-validator#validator";
    };
  };
  security.acme = {
    acceptTerms = true;
    defaults.email = "it@library.example";
  };
}
