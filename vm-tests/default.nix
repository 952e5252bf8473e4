# The scenarios as NixOS tests. The same text runs against Debian guests: `cargo xtask vm`.
{
  self,
  pkgs,
  lib,
}:

lib.mapAttrs (
  name: machines:
  pkgs.testers.runNixOSTest {
    name = "birthmark-${name}";
    node.pkgs = lib.mkForce null;
    defaults.imports = [ self.nixosModules.default ];
    nodes = lib.genAttrs machines (machine: ./machines + "/${machine}.nix");
    testScript = builtins.readFile (./scenarios + "/${name}.py");
    # A TPM and a database each, on builders that may have no KVM.
    globalTimeout = 3600;
  }
) (lib.importJSON ./scenarios.json)
