# `nix flake check` builds all of these.
{
  self,
  pkgs,
  lib,
  nixpkgs,
  sops-nix,
}:

let
  nix-files = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.fileFilter (file: file.hasExt "nix") ../.;
  };
  # Every daemon on one machine, at its defaults: two checks look at it, and each further machine costs an evaluation a
  # quarter of a gigabyte.
  everything = import ./evaluate.nix { inherit pkgs lib nixpkgs; } {
    services.birthmark = {
      camera.enable = true;
      capture.settings.source.kind = "v4l2";
      node.enable = true;
      sma.enable = true;
      # As journald.conf(5) writes lengths of time.
      journal.keep = "1year 6M";
    };
  };
in
import ./rust-checks.nix { inherit pkgs; }
// {
  packages = pkgs.birthmark;
  verify-page = pkgs.birthmark-verify-page;

  nix-format = pkgs.runCommand "nix-format" { nativeBuildInputs = [ pkgs.nixfmt ]; } ''
    find ${nix-files} -name '*.nix' -exec nixfmt --check {} +
    touch "$out"
  '';
  nix-dead-code = pkgs.runCommand "nix-dead-code" { nativeBuildInputs = [ pkgs.deadnix ]; } ''
    deadnix --fail ${nix-files}
    touch "$out"
  '';

  # The layout of secrets/: the published test key opens the file with the published test secrets.
  secrets-layout = pkgs.runCommand "secrets-layout" { nativeBuildInputs = [ pkgs.sops ]; } ''
    export SOPS_AGE_KEY_FILE=${../secrets/TEST-KEY-not-a-secret.txt}
    sops --decrypt ${../secrets/TEST-secrets.yaml} | grep -q 'vote-key: TEST ONLY'
    touch "$out"
  '';

  templates = import ./template-tests.nix {
    inherit
      self
      pkgs
      lib
      nixpkgs
      sops-nix
      ;
  };
  server-state = import ./server-state-test.nix { inherit self pkgs lib; };
  assertions = import ./assertion-tests.nix {
    inherit
      pkgs
      lib
      nixpkgs
      everything
      ;
  };
  promises = import ./promise-tests.nix {
    inherit
      self
      pkgs
      lib
      nixpkgs
      everything
      ;
  };
  units = import ./unit-tests.nix { inherit self pkgs lib; };
  no-secrets-in-images = import ./secret-tests.nix { inherit self pkgs lib; };
}
# Where a builder with KVM is usual; on aarch64 they would only make every evaluation longer.
// lib.optionalAttrs pkgs.stdenv.hostPlatform.isx86_64 (
  lib.mapAttrs' (name: test: lib.nameValuePair "vm-${name}" test) (
    import ../vm-tests { inherit pkgs lib; }
  )
)
