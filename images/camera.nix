# The card of a camera: Raspberry Pi 4, HQ camera (IMX477), TPM (SLB9670), GPS on the serial pins, button and LED.
{
  config,
  lib,
  modulesPath,
  nixos-hardware,
  pkgs,
  ...
}:

let
  ours = import ../nixos-modules/lib.nix { inherit lib pkgs; };
  gadget = pkgs.writeShellApplication {
    name = "birthmark-usb-gadget";
    runtimeInputs = [ pkgs.coreutils ];
    text = builtins.readFile ./usb-gadget.sh;
  };
in
{
  imports = [
    nixos-hardware.nixosModules.raspberry-pi-4
    (modulesPath + "/installer/sd-card/sd-image.nix")
    ./state-partition.nix
    ./card-setup.nix
  ];

  hardware.raspberry-pi = {
    # Both lists replace the profile's own (sound, desktop graphics): a camera without a screen has neither.
    configtxt.settings.all = {
      camera_auto_detect = false;
      dtparam = [
        "spi=on"
        "i2c_arm=on"
      ];
      enable_uart = true;
    };
    configtxt.deviceTreeOverlays.all = [
      { imx477 = { }; }
      { tpm-slb9670 = { }; }
      # The good serial port for the GPS receiver, not for Bluetooth.
      { disable-bt = { }; }
      # The power cable is a network cable as well: photos can be fetched over it.
      { dwc2.dr_mode = "peripheral"; }
    ]
    ++ lib.optional config.services.birthmark.camera.pps.enable { pps-gpio.gpiopin = 4; };
    firmware = {
      enable = true;
      uboot.enable = true;
      # What the GPS receiver says while U-Boot runs is no key that somebody presses: it listens to a USB keyboard only.
      uboot.package =
        (pkgs.ubootRaspberryPiAarch64.override {
          extraConfig = ''
            CONFIG_BOOTDELAY=-2
            CONFIG_SYS_DEVICE_NULLDEV=y
          '';
        }).overrideAttrs
          (before: {
            postPatch = before.postPatch + ''
              substituteInPlace board/raspberrypi/rpi/rpi.env \
                --replace-fail stdin=serial,usbkbd stdin=nulldev,usbkbd
            '';
          });
    };
  };
  # The image module asks for the drivers of every board there is, and building an initrd fails at the
  # first that the Pi's kernel was not compiled with (sun4i-drm). So the list is this board's own:
  # nix/promise-tests.nix holds it against what that kernel is known to have.
  hardware.enableAllHardware = lib.mkForce false;
  boot.initrd.includeDefaultModules = false;
  boot.initrd.availableKernelModules = [
    # The card, or a disk on USB.
    "mmc_block"
    "sd_mod"
    "uas"
    "xhci_pci"
    # A keyboard, for whoever has to look at a boot that stops here.
    "hid_generic"
  ];
  # Came with the drivers of every board; without it `iw reg set` has no country to set.
  hardware.wirelessRegulatoryDatabase = true;
  boot.kernelModules = [
    "tpm_tis_spi"
    "spi-bcm2835"
    "libcomposite"
  ];
  # The cable: described to computers as soon as the board has a USB controller that can be a device.
  systemd.services.usb-gadget = {
    description = "Make the power cable a network cable";
    after = [ "sys-kernel-config.mount" ];
    requires = [ "sys-kernel-config.mount" ];
    serviceConfig = ours.confined // {
      Type = "oneshot";
      RemainAfterExit = true;
      ExecStart = "${lib.getExe gadget} /sys/kernel/config /sys/class/udc /proc/device-tree/serial-number";
      # The kernel's own folder is what it is about.
      ProtectKernelTunables = false;
      ProcSubset = "all";
      ReadWritePaths = [ "/sys/kernel/config" ];
      PrivateDevices = true;
      PrivateNetwork = true;
      RestrictAddressFamilies = "none";
    };
  };
  services.udev.extraRules = ''
    SUBSYSTEM=="udc", ACTION=="add", TAG+="systemd", ENV{SYSTEMD_WANTS}+="usb-gadget.service"
  '';
  # No login and no boot messages on the line the GPS receiver talks on.
  boot.kernelParams = lib.mkForce [
    "console=tty1"
    "cma=512M"
    "loglevel=4"
    "panic=30"
  ];
  systemd.services."serial-getty@ttyAMA0".enable = false;
  systemd.services."serial-getty@ttyS0".enable = false;
  boot.supportedFilesystems = lib.mkForce [
    "ext4"
    "vfat"
  ];

  sdImage = {
    populateRootCommands = ''
      mkdir -p ./files/boot
      ${config.boot.loader.generic-extlinux-compatible.populateCmd} -c ${config.system.build.toplevel} -d ./files/boot
    '';
    # Room for a few generations; everything behind it becomes the state partition on the first boot.
    expandOnBoot = false;
    preBuildCommands = ''
      truncate -s 8G "$root_fs"
      resize2fs "$root_fs"
    '';
    firmwareSize = 128;
  };
  boot.loader.generic-extlinux-compatible.configurationLimit = 5;
  fileSystems."/".options = [
    "noatime"
    "commit=60"
  ];
  # The journal is on the card too: small, and not written for every line.
  services.journald.extraConfig = ''
    SystemMaxUse=200M
    SyncIntervalSec=2m
  '';

  # A camera that hangs is started again by its own watchdog (this one waits 15 s at most), one whose kernel gave up by that.
  systemd.settings.Manager.RuntimeWatchdogSec = "14s";
  # Developing a picture beside an upgrade needs more than the board has; no swap reaches the card.
  zramSwap.enable = true;
  # The system's partition has room for a few generations.
  nix.gc = {
    automatic = true;
    options = "--delete-older-than 60d";
  };
  nix.settings.min-free = 512 * 1024 * 1024;
  documentation.nixos.enable = false;

  services.birthmark = {
    camera = {
      enable = true;
      share.enable = true;
      # Whoever holds the cable holds the camera, and a full card is mended by deleting what was fetched.
      share.writable = true;
    };
    gps.settings.device = "/dev/ttyAMA0";
    capture.package = pkgs.birthmark-capture-libcamera;
    capture.settings = {
      # Exposure, white balance and development are the Pi's own, as with its camera programs. See "What has never run" in
      # docs/CAMERA.md.
      source.kind = "libcamera";
      # The header's chip; see the wiring in docs/CAMERA.md.
      panel = {
        chip = "/dev/gpiochip0";
        button = 17;
        light = 27;
      };
    };
  };

  networking = {
    hostName = "birthmark-camera";
    useNetworkd = true;
    wireless.iwd.enable = true;
  };
  # Over the cable the camera is the network: a computer gets an address from it and finds the photos there.
  systemd.network.networks."20-usb" = {
    matchConfig.Name = "usb0";
    address = [ "10.55.0.1/28" ];
    networkConfig = {
      DHCPServer = true;
      MulticastDNS = true;
    };
    dhcpServerConfig.EmitDNS = false;
    dhcpServerConfig.EmitRouter = false;
    linkConfig.RequiredForOnline = false;
  };
  # birthmark-camera.local, over whatever leads to the camera.
  systemd.network.networks."99-ethernet-default-dhcp".networkConfig.MulticastDNS = true;
  systemd.network.networks."99-wireless-client-dhcp".networkConfig.MulticastDNS = true;
  networking.firewall.allowedUDPPorts = [ 5353 ];
  networking.firewall.interfaces.usb0.allowedUDPPorts = [ 67 ];
  systemd.network.wait-online.anyInterface = true;

  assertions = [
    {
      assertion = !config.boot.loader.generic-extlinux-compatible.useGenerationDeviceTree;
      message = "boot.loader.generic-extlinux-compatible.useGenerationDeviceTree must stay off on this card: U-Boot would load a plain device tree, and sensor and TPM would be missing from it.";
    }
  ];

  # Systems built elsewhere are sent to the card by its photographer, who may become root anyway.
  nix.settings.trusted-users = [ "@wheel" ];
  nix.settings.experimental-features = [
    "nix-command"
    "flakes"
  ];
  # What docs/CAMERA.md asks people to run.
  environment.systemPackages = [
    pkgs.jq
    pkgs.rsync
    pkgs.v4l-utils
  ];

  systemd.enableStrictShellChecks = true;
  nixpkgs.hostPlatform = "aarch64-linux";
  system.stateVersion = "26.05";
}
