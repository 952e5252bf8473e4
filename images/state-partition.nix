# Photos, the queue, the TPM's wrapped blobs and the machine's identity live on their own partition of the card. It is made on
# the first boot from all the room behind the system, before anything can write to the wrong place.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  make = pkgs.writeShellApplication {
    name = "make-state-partition";
    runtimeInputs = [
      pkgs.util-linux
      pkgs.e2fsprogs
      pkgs.coreutils
      config.boot.initrd.systemd.package
    ];
    text = builtins.readFile ./make-state-partition.sh;
  };
in
{
  fileSystems."/var/lib" = {
    device = "/dev/disk/by-label/birthmark-state";
    fsType = "ext4";
    neededForBoot = true;
    # Data before metadata: after a power cut a photo is whole or absent.
    options = [
      "noatime"
      "data=ordered"
    ];
  };

  boot.initrd.systemd = {
    enable = true;
    storePaths = [ make ];
    services.make-state-partition = {
      description = "Make the state partition on the first boot";
      requiredBy = [ "sysroot-var-lib.mount" ];
      before = [ "sysroot-var-lib.mount" ];
      after = [ "initrd-root-device.target" ];
      unitConfig.DefaultDependencies = false;
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = "${lib.getExe make} /dev/disk/by-label/${config.sdImage.rootVolumeLabel} birthmark-state";
      };
    };
  };
}
