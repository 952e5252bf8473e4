# A server's first boot makes the state partition behind the system and touches nothing else; its second boot does nothing.
# The image's own layout and the host's own definitions, on a file.
{
  self,
  pkgs,
  lib,
}:

let
  definitions = pkgs.linkFarm "repart.d" (
    lib.mapAttrsToList (name: partition: {
      name = "${name}.conf";
      path = pkgs.writeText "${name}.conf" (lib.generators.toINI { } { Partition = partition; });
    }) self.nixosConfigurations.validator.config.systemd.repart.partitions
  );
in
pkgs.runCommand "birthmark-server-state"
  {
    nativeBuildInputs = [
      pkgs.systemd
      pkgs.util-linux
      pkgs.e2fsprogs
      pkgs.jq
    ];
  }
  ''
    system() { head -c 199M disk | tail -c +1048577 | sha256sum; }

    truncate -s 200M disk
    printf 'label: gpt\nstart=8MiB, size=64MiB, type=uefi\nstart=72MiB, type=linux\n' | sfdisk --quiet disk
    before=$(system)
    # Written to a larger disk.
    truncate -s 5G disk

    systemd-repart --offline=yes --definitions=${definitions} --dry-run=no disk
    sfdisk --list disk
    test "$(sfdisk --part-label disk 3)" = birthmark-guard
    test "$(sfdisk --part-label disk 4)" = birthmark-state
    test "$(sfdisk --json disk | grep -c '"node"')" = 4
    test "$before" = "$(system)"

    table=$(sfdisk --dump disk)
    systemd-repart --offline=yes --definitions=${definitions} --dry-run=no disk
    test "$table" = "$(sfdisk --dump disk)"

    # On a disk that has grown, so does the state, and nothing is in its way.
    truncate -s 7G disk
    systemd-repart --offline=yes --definitions=${definitions} --dry-run=no disk
    size() { sfdisk --json disk | jq ".partitiontable.partitions[$1].size"; }
    test "$(size 3)" -gt $((6 * 1024 * 1024 * 2))
    test "$(size 2)" = $((64 * 1024 * 2))
    touch "$out"
  ''
