# Everything the house's own commands need: `cargo xtask test` runs in here without anything else installed.
{ pkgs }:

pkgs.mkShell {
  inputsFrom = [ pkgs.birthmark-daemons ];
  packages = [
    pkgs.cargo-nextest
    pkgs.cargo-deny
    pkgs.clippy
    pkgs.rustfmt
    pkgs.rust-analyzer

    # The tests' real things: a TPM emulator with its tools, PostgreSQL, a browser.
    pkgs.swtpm
    pkgs.libfaketime
    pkgs.tpm2-tools
    pkgs.postgresql
    pkgs.chromium
    pkgs.exiftool
    pkgs.python3
    pkgs.lld

    # Packages of `cargo xtask dist`. (`cargo xtask vm` wants a Debian machine with mmdebstrap; here, the same scenarios are
    # NixOS tests.)
    pkgs.dpkg

    # The Nix files themselves.
    pkgs.nixfmt-tree
    pkgs.deadnix
    pkgs.shellcheck
    pkgs.sops
    pkgs.age
  ];
  # The TPM libraries open their transport at run time.
  LD_LIBRARY_PATH = pkgs.lib.makeLibraryPath [ pkgs.tpm2-tss ];
}
