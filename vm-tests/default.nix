# The scenarios as NixOS tests. The same text runs against Debian guests: `cargo xtask vm`.
{
  pkgs,
  lib,
}:

let
  machine = import ./machine.nix { inherit pkgs lib; };
  scenarios = lib.importJSON ./scenarios.json;

  test =
    name: nodes: testScript:
    pkgs.testers.runNixOSTest {
      inherit nodes testScript;
      name = "birthmark-${name}";
      defaults.imports = [ ../nixos-modules ];
      # A TPM and a database each, on builders that may have no KVM.
      globalTimeout = 3600;
    };
  script =
    name: builtins.readFile ./scenarios/common.py + builtins.readFile (./scenarios + "/${name}.py");

  # Most scenarios begin with the same machines. Each set of them is evaluated once, and its machines are what every
  # scenario of that set starts: a scenario of its own costs an evaluation a quarter of a gigabyte for each machine.
  sets = lib.listToAttrs (
    map (
      machines: lib.nameValuePair (toString machines) (test "machines" (lib.genAttrs machines machine) "")
    ) (lib.attrValues scenarios)
  );
  withMachinesOf =
    set: name: testScript:
    pkgs.testers.runNixOSTest {
      inherit testScript;
      name = "birthmark-${name}";
      globalTimeout = 3600;
      driverConfiguration = {
        vms = lib.mkForce set.config.driverConfiguration.vms;
        vlans = lib.mkForce set.config.driverConfiguration.vlans;
      };
    };
  # The test driver's own option. Should it go, everything is as it was, only dearer.
  story =
    machines: name: testScript:
    let
      set = sets.${toString machines};
    in
    if set.config ? driverConfiguration.vms then
      withMachinesOf set name testScript
    else
      test name (lib.genAttrs machines machine) testScript;
in
lib.mapAttrs (name: machines: story machines name (script name)) scenarios
// {
  rollback = import ./rollback.nix { inherit pkgs lib; };

  # A card's first boots, on loop devices. Debian does the same without a machine: `cargo xtask test --only card`, as root.
  card = story [ "trial" ] "card" ''
    trial.succeed("bash ${../images/tests/state-partition.sh} ${../images/make-state-partition.sh} >&2")
  '';
}
