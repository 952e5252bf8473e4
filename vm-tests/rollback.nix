# A server that is given a system with which its validator does not work goes back to the one before by itself, and what must
# never go back stays where it was. On NixOS only: Debian's guests have no boot loader. The boot loader's half on Debian:
# scripts/tests/rollback.py.
{ pkgs, lib }:

let
  base = {
    imports = [ ../nixos-modules ];
    virtualisation = {
      memorySize = 1024;
      useBootLoader = true;
      useEFIBoot = true;
    };
    boot.loader.systemd-boot = {
      enable = true;
      bootCounting.tries = 2;
    };
    boot.loader.efi.canTouchEfiVariables = true;
    services.birthmark.node = {
      enable = true;
      # Blocks without photos, so that there is a height that has been signed.
      settings.blocks.heartbeat_s = 1;
    };
    environment.systemPackages = [ pkgs.curl ];
  };
in
pkgs.testers.runNixOSTest {
  name = "birthmark-rollback";
  globalTimeout = 3600;
  nodes = {
    server =
      { nodes, ... }:
      {
        imports = [ base ];
        system.extraDependencies = [ nodes.broken.system.build.toplevel ];
      };
    # Answers nothing, as a daemon that cannot read its database.
    broken = {
      imports = [ base ];
      systemd.services.birthmark-node.serviceConfig.ExecStartPre =
        "${lib.getExe' pkgs.coreutils "false"}";
      systemd.services.boot-check = {
        # The check would give it ten minutes.
        serviceConfig.ExecStart = lib.mkForce "${lib.getExe' pkgs.coreutils "false"}";
        # The driver's shell survives no restart that it did not ask for, so the test asks. That both checks restart the
        # machine is read back by nix/promise-tests.nix, and done by scripts/tests/rollback.py.
        unitConfig.FailureAction = lib.mkForce "none";
      };
      systemd.services.boot-doctor.unitConfig.FailureAction = lib.mkForce "none";
    };
  };
  testScript =
    { nodes, ... }:
    ''
      import re

      good = "${nodes.server.system.build.toplevel}"
      broken = "${nodes.broken.system.build.toplevel}"


      def height():
          metrics = server.succeed("curl --silent --fail http://127.0.0.1:8545/metrics")
          found = re.search(r"^birthmark_node_block_height (\d+)$", metrics, re.MULTILINE)
          assert found, metrics
          return int(found.group(1))


      def running():
          return server.succeed("readlink -f /run/booted-system").strip()


      server.start(allow_reboot=True)
      server.wait_for_unit("multi-user.target")
      with subtest("a validator works, and that is noted"):
          server.succeed(
              "birthmark-node keys /root/keys --name validator.example > /root/validator.toml",
              "install -d -m 0700 /etc/credstore",
              "for key in vote checkpoint lookup; do install -m 0600 /root/keys/$key-key /etc/credstore/birthmark-node.$key-key; done",
              "birthmark-node genesis /var/lib/birthmark-node/genesis.toml --chain-id library.example/registry --validator /root/validator.toml",
              "chown -R birthmark-node: /var/lib/birthmark-node",
              "systemctl restart birthmark-node.socket birthmark-node.service",
          )
          server.wait_until_succeeds("curl --silent --fail http://127.0.0.1:8545/health")
          server.succeed("systemctl start note-what-works.service")
          server.succeed("test -e /var/lib/private/birthmark-healthy/node")
          server.wait_until_succeeds("curl --silent http://127.0.0.1:8545/metrics | grep -q '^birthmark_node_block_height [1-9]'")
          server.succeed("systemctl start boot-doctor.service")

      with subtest("a system with which it does not work gives way to the one before"):
          signed = height()
          server.succeed(f"nix-env --profile /nix/var/nix/profiles/system --set {broken}")
          server.succeed(f"{broken}/bin/switch-to-configuration boot")
          server.succeed("ls /boot/loader/entries | grep -q -- '+2.conf$'")
          server.succeed("sync")
          for left in ("+1-1", "+0-2"):
              server.reboot()
              server.wait_for_unit("multi-user.target")
              assert running() == broken
              server.wait_until_succeeds("systemctl is-failed boot-check.service")
              server.succeed(f"ls /boot/loader/entries | grep -q -- '{left}.conf$'")
          server.reboot()
          server.wait_for_unit("multi-user.target")
          assert running() == good

      with subtest("what it has signed did not go back with the system"):
          server.wait_until_succeeds("curl --silent --fail http://127.0.0.1:8545/health")
          now = height()
          assert now >= signed, f"height {now}, and {signed} was signed"
          server.wait_for_unit("systemd-bless-boot.service")
    '';
}
