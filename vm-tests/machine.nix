# What machines/NAME.json means to NixOS: which daemons a machine has, with which settings.
{ pkgs, lib }:

name:
let
  described = lib.importJSON (./machines + "/${name}.json");
  listen = described.listen or { };
  server = daemon: settings: {
    enable = true;
    inherit settings;
    database.createLocally = lib.elem daemon (described.postgresql or [ ]);
  };
  exposed = daemon: {
    listen = listen.${daemon};
    openFirewall = true;
  };
  # A painted scene is in no package that ships.
  rehearsed = lib.optionalAttrs (described.rehearsal or false) {
    capture.package = pkgs.birthmark-capture-rehearsal;
    signer.package = pkgs.birthmark-signer-rehearsal;
  };
  enabled =
    daemon: settings:
    if
      lib.elem daemon [
        "sma"
        "node"
      ]
    then
      server daemon settings // lib.optionalAttrs (listen ? ${daemon}) (exposed daemon)
    else
      {
        enable = true;
        inherit settings;
      };
in
{
  virtualisation = {
    memorySize = described.memory or 1024;
    tpm.enable = described.tpm or false;
  };
  services.birthmark = lib.recursiveUpdate (lib.mapAttrs enabled described.daemons) rehearsed;
  # What the upgrade scenario switches to: the same machine with a unit that differs, so that it is restarted.
  specialisation = lib.optionalAttrs (name == "trial") {
    next.configuration.systemd.services.birthmark-node.environment.BIRTHMARK_LOG = "debug";
  };
  # nixpkgs compiles no test drivers, and none can be added to its kernel as a module alone: a machine that
  # needs one has a kernel of its own.
  boot.kernelPatches = lib.optional (described.vivid or false) {
    name = "vivid";
    patch = null;
    structuredExtraConfig = {
      MEDIA_TEST_SUPPORT = lib.kernel.yes;
      V4L_TEST_DRIVERS = lib.kernel.yes;
      VIDEO_VIVID = lib.kernel.module;
    };
  };
  environment.systemPackages = [
    pkgs.birthmark-command
    # For the card's partitions, on loop devices.
    pkgs.e2fsprogs
    pkgs.jq
    pkgs.sqlite
    pkgs.v4l-utils
    pkgs.perl
    pkgs.netcat
    pkgs.openssl
  ];
}
