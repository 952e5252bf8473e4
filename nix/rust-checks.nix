# Formatting, lints, licences and the tests of the workspace, each as its own derivation.
{ pkgs }:

let
  inherit (pkgs) birthmark-daemons;
  # Tests also read what is beside the crates: units, the card's scripts, the scenarios, the documents.
  everything = pkgs.lib.fileset.toSource {
    root = ../.;
    fileset = pkgs.lib.fileset.unions [
      ../Cargo.toml
      ../Cargo.lock
      ../clippy.toml
      ../.config
      ../crates
      ../docs
      ../images
      ../spec
      ../systemd
      ../vm-tests
    ];
  };
  step =
    name: inputs: command:
    birthmark-daemons.overrideAttrs (previous: {
      pname = "birthmark-${name}";
      src = everything;
      nativeBuildInputs = previous.nativeBuildInputs ++ inputs;
      buildPhase = ''
        runHook preBuild
        ${command}
        runHook postBuild
      '';
      installPhase = "touch $out";
      postInstall = "";
      dontFixup = true;
      doCheck = false;
    });
in
{
  fmt = step "fmt" [ pkgs.rustfmt ] "cargo fmt --all --check";
  clippy = step "clippy" [
    pkgs.clippy
  ] "cargo clippy --workspace --all-targets --offline -- -D warnings";
  # Advisories need the network's database and are checked where there is one.
  deny =
    (step "deny" [ pkgs.cargo-deny ] "cargo deny --offline check bans licenses sources").overrideAttrs
      {
        src = pkgs.lib.fileset.toSource {
          root = ../.;
          fileset = pkgs.lib.fileset.unions [
            ../Cargo.toml
            ../Cargo.lock
            ../crates
            (pkgs.lib.fileset.maybeMissing ../deny.toml)
          ];
        };
      };
  tests = step "tests" [
    pkgs.cargo-nextest
    pkgs.swtpm
    pkgs.libfaketime
    pkgs.tpm2-tools
    pkgs.postgresql
    pkgs.python3
    pkgs.openssl
  ] "cargo nextest run --workspace --offline";
}
