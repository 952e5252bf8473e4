# birthmark-signer: the only process that opens the TPM.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  cfg = config.services.birthmark.signer;
  ours = import ./lib.nix { inherit lib pkgs; };
  file = ours.checkedFile {
    daemon = "signer";
    inherit (cfg) package settings;
  };
in
{
  imports = [ ./common.nix ];

  options.services.birthmark.signer = {
    enable = lib.mkEnableOption "the Birthmark signer, sole owner of the TPM";
    package = lib.mkPackageOption pkgs "birthmark-signer" { };
    settings = lib.mkOption {
      type = lib.types.submodule { freeformType = ours.settingsType; };
      default = { };
      description = "The content of /etc/birthmark/signer.toml, checked by the daemon when the system is built.";
    };
  };

  config = lib.mkIf cfg.enable {
    systemd.packages = [ cfg.package ];
    systemd.services.birthmark-signer = ours.unit {
      inherit file;
      starts = false;
    };
    systemd.services.birthmark-signer-credential.path = [ pkgs.coreutils ];
    systemd.sockets.birthmark-signer.wantedBy = [ "sockets.target" ];
    environment.etc."birthmark/signer.toml".source = file;
    users.users.birthmark-signer = ours.account [ ] // {
      group = "birthmark-signer";
    };
    users.groups = {
      birthmark-signer = { };
      birthmark = { };
    };

    # The udev rule that gives /dev/tpmrm0 to the group tss.
    security.tpm2.enable = true;
    boot.kernelModules = [ "tpm_tis" ];

    assertions = [
      {
        assertion = !config.security.tpm2.abrmd.enable;
        message = "services.birthmark.signer talks to the kernel's resource manager, /dev/tpmrm0; switch security.tpm2.abrmd.enable off: two resource managers on one chip evict each other's keys.";
      }
    ];
  };
}
