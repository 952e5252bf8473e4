# The scenarios as NixOS tests. The same text runs against Debian guests: `cargo xtask vm`.
{
  self,
  pkgs,
  lib,
}:

let
  # machines/NAME.json says which daemons with which settings; this is what it means to NixOS.
  machine =
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
      services.birthmark = lib.mapAttrs enabled described.daemons;
      # What the upgrade scenario switches to: the same machine with a unit that differs, so that it is restarted.
      specialisation.next = lib.mkIf (described.daemons ? node) {
        configuration.systemd.services.birthmark-node.environment.BIRTHMARK_LOG = "debug";
      };
      environment.systemPackages = [
        pkgs.birthmark-command
        pkgs.jq
        pkgs.sqlite
        pkgs.v4l-utils
        pkgs.perl
        pkgs.netcat
        pkgs.openssl
      ];
    };
in
lib.mapAttrs (
  name: machines:
  pkgs.testers.runNixOSTest {
    name = "birthmark-${name}";
    node.pkgs = lib.mkForce null;
    defaults.imports = [ self.nixosModules.default ];
    nodes = lib.genAttrs machines machine;
    testScript =
      builtins.readFile ./scenarios/common.py + builtins.readFile (./scenarios + "/${name}.py");
    # A TPM and a database each, on builders that may have no KVM.
    globalTimeout = 3600;
  }
) (lib.importJSON ./scenarios.json)
// {
  # A card's first boots, on loop devices. Debian does the same without a machine: `cargo xtask test --only card`, as root.
  card = pkgs.testers.runNixOSTest {
    name = "birthmark-card";
    nodes.machine.environment.systemPackages = [
      pkgs.e2fsprogs
      pkgs.util-linux
    ];
    testScript = ''
      machine.succeed("bash ${../images/tests/state-partition.sh} ${../images/make-state-partition.sh} >&2")
    '';
  };
}
