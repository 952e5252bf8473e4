# A server that boots as it is: UEFI, one disk, state on its own partition that no rollback touches, entry by SSH key only.
{
  config,
  lib,
  modulesPath,
  pkgs,
  ...
}:

let
  # A root that leaves no room behind it would leave the first boot without a state partition, and so without /var/lib. The
  # image has that room from the start; on a larger disk there is more.
  disk =
    format:
    import (modulesPath + "/../lib/make-disk-image.nix") {
      inherit
        lib
        config
        pkgs
        format
        ;
      baseName = config.networking.hostName;
      diskSize = 16 * 1024;
      partitionTableType = "efi";
      # Kernel and initrd of each entry in the boot menu.
      bootSize = "1G";
      postVM = ''
        ${lib.getExe' pkgs.qemu-utils "qemu-img"} resize -f ${format} "$diskImage" +8G
      '';
    };
in
{
  boot.loader.systemd-boot = {
    enable = true;
    # Each generation is one entry in the boot menu: the way back after an upgrade that went wrong.
    configurationLimit = 20;
  };
  boot.loader.efi.canTouchEfiVariables = lib.mkDefault false;
  boot.initrd.systemd.enable = true;
  # Whatever disk an institution's machine or its host has: this is looked for before there is anything else to load from.
  boot.initrd.availableKernelModules = [
    "virtio_pci"
    "virtio_blk"
    "virtio_scsi"
    "nvme"
    "ahci"
    "sd_mod"
    # VMware, Hyper-V, Xen.
    "vmw_pvscsi"
    "mptspi"
    "hv_vmbus"
    "hv_storvsc"
    "xen_blkfront"
    # Controllers of servers.
    "megaraid_sas"
    "mpt3sas"
    "hpsa"
    "aacraid"
    # A disk on USB, and the cards of small machines.
    "xhci_pci"
    "usb_storage"
    "uas"
    "sdhci_pci"
    "mmc_block"
    # How a virtual machine's owner hands it credentials; only the initrd takes them over.
    "dmi_sysfs"
    "qemu_fw_cfg"
  ];

  fileSystems = {
    "/" = {
      device = "/dev/disk/by-label/nixos";
      fsType = "ext4";
    };
    "/boot" = {
      device = "/dev/disk/by-label/ESP";
      fsType = "vfat";
      options = [ "umask=0077" ];
    };
    # Databases, keys and certificates. A generation only ever replaces what is in the Nix store.
    "/var/lib" = {
      device = "/dev/disk/by-partlabel/birthmark-state";
      fsType = "ext4";
      neededForBoot = true;
    };
  };
  # How far a validator has signed: a file system of its own, which no copy and no snapshot of the state takes back.
  fileSystems."/var/lib/birthmark-guard" = {
    device = "/dev/disk/by-partlabel/birthmark-guard";
    fsType = "ext4";
    # A server without a validator has it as well, and nothing is lost if it cannot be mounted there.
    options = [ "noatime" ] ++ lib.optional (!config.services.birthmark.node.enable) "nofail";
  };
  # Made on the first boot from all the room behind the system, whatever the size of the disk.
  boot.growPartition = false;
  boot.initrd.systemd.repart.enable = true;
  # Before the state, which takes the rest and grows with the disk.
  systemd.repart.partitions."20-guard" = {
    Type = "0a1e3a6c-6f0e-4d55-9a3b-0f2e6f1c7b42";
    Label = "birthmark-guard";
    Format = "ext4";
    SizeMinBytes = "64M";
    SizeMaxBytes = "64M";
  };
  systemd.repart.partitions."30-state" = {
    # Kinds of their own: the image's root is of the general kind, and would be taken for one of these.
    Type = "4d8a0c5e-2f0b-4b0e-9d7a-6b7d62bd5c11";
    Label = "birthmark-state";
    Format = "ext4";
    SizeMinBytes = "4G";
  };
  # The first disk of this very system. (The variants of system.build.images are systems of their own: each would be
  # evaluated once more, and none leaves room for the state.)
  system.build = {
    disk = disk "qcow2";
    rawDisk = disk "raw";
  };
  image.modules = {
    iso.fileSystems."/var/lib" = lib.mkForce {
      device = "tmpfs";
      fsType = "tmpfs";
    };
    iso.fileSystems."/var/lib/birthmark-guard" = lib.mkForce {
      device = "tmpfs";
      fsType = "tmpfs";
    };
    iso.boot.initrd.systemd.repart.enable = lib.mkForce false;
  };

  networking.useNetworkd = true;
  # Keys of the administrators come with the institution's own flake, or from the virtual machine's owner, as the credential
  # ssh.authorized_keys.root that NixOS's sshd provides for; see docs/OPERATING.md. No image has one.
  services.openssh = {
    enable = true;
    settings = {
      PasswordAuthentication = false;
      KbdInteractiveAuthentication = false;
      PermitRootLogin = "prohibit-password";
    };
    # The machine's own identity stays with its state.
    hostKeys = [
      {
        path = "/var/lib/ssh/host_ed25519";
        type = "ed25519";
      }
    ];
  };
  # Keys, whether drawn here or put here by a person, are on the state partition: a new system disk is no new validator.
  systemd.tmpfiles.settings."10-credstore" = lib.mergeAttrsList (
    map
      (name: {
        "/var/lib/${name}".d = {
          mode = "0700";
          user = "root";
          group = "root";
        };
        "/etc/${name}".L.argument = "/var/lib/${name}";
      })
      [
        "credstore"
        "credstore.encrypted"
      ]
  );

  # A machine that hangs is started again by its own watchdog, one whose kernel gave up by that.
  systemd.settings.Manager.RuntimeWatchdogSec = "60s";
  boot.kernelParams = [ "panic=30" ];
  # The daemons are never swapped out; what can be, stays in memory as well, and on no disk.
  zramSwap.enable = true;
  # What a processor's maker has mended since it was sold; virtual machines ignore it.
  hardware.cpu.intel.updateMicrocode = lib.mkDefault pkgs.stdenv.hostPlatform.isx86_64;
  hardware.cpu.amd.updateMicrocode = lib.mkDefault pkgs.stdenv.hostPlatform.isx86_64;

  # The manual of every option of NixOS is a quarter of the time that evaluating this system takes. Our own manual pages stay.
  documentation.nixos.enable = false;
  systemd.enableStrictShellChecks = true;
  environment.systemPackages = [ pkgs.birthmark-command ];
  nix.settings.experimental-features = [
    "nix-command"
    "flakes"
  ];

  nixpkgs.hostPlatform = lib.mkDefault "x86_64-linux";
  system.stateVersion = "26.05";
  system.nixos.tags = [ config.networking.hostName ];
}
