# The scenarios as NixOS tests. The same text runs against Debian guests: `cargo xtask vm`.
{
  self,
  pkgs,
  lib,
}:

let
  machine = import ./machine.nix { inherit pkgs lib; };
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
