# Programs of the workspace, built together. The packages that machines install are cut from this in slices.nix, so that a
# validator's closure has no TPM library and a camera's no database.
{
  # Which crates. Daemons and demonstration are never built in one go: its signer can have keys in a file and its camera a
  # painted scene, and cargo would give that to the camera's own programs as well.
  crates ? [
    "signer"
    "gps"
    "capture"
    "sma"
    "node"
  ],
  pname ? "birthmark-daemons",
  # Photos of a painted scene or of files, for rehearsals. Never in an image for a camera.
  rehearsal ? false,
  lib,
  rustPlatform,
  pkg-config,
  tpm2-tss,
  installShellFiles,
  stdenv,
}:

rustPlatform.buildRustPackage {
  inherit pname;
  version = (lib.importTOML ../Cargo.toml).workspace.package.version;

  # Documents and units are left out: editing them rebuilds no Rust.
  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../Cargo.toml
      ../Cargo.lock
      ../clippy.toml
      ../crates
      ../spec
    ];
  };
  cargoLock.lockFile = ../Cargo.lock;

  nativeBuildInputs = [
    pkg-config
    rustPlatform.bindgenHook
    installShellFiles
  ];
  buildInputs = [ tpm2-tss ];

  # The camera's sensor through the kernel's own interface; off in tests, which have no such device.
  buildFeatures =
    lib.optional (lib.elem "capture" crates) "birthmark-capture/v4l2"
    ++ lib.optionals rehearsal [
      "birthmark-capture/rehearsal"
      "birthmark-signer/rehearsal"
    ];
  cargoBuildFlags = map (crate: "--package=birthmark-${crate}") crates;

  # The tests need a TPM emulator, PostgreSQL and a browser: they are a check of their own (checks.nix), not part of every build.
  doCheck = false;

  # Manual pages and completions are printed by the programs themselves. A program for another machine cannot run here; the
  # same pages are in its own build.
  postInstall = lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    for program in "$out"/bin/birthmark*; do
      name=$(basename "$program")
      test "$name" = birthmark-demo && continue
      section=8
      test "$name" = birthmark && section=1
      "$program" man > "$name.$section"
      installManPage "$name.$section"
      installShellCompletion --cmd "$name" \
        --bash <("$program" completions bash) \
        --fish <("$program" completions fish) \
        --zsh <("$program" completions zsh)
    done
  '';

  meta = {
    description = "Registers photos at the moment of capture, signed by the camera that took them";
    homepage = "https://github.com/Birthmark-Standard/Birthmark";
    license = lib.licenses.asl20;
    mainProgram = if lib.elem "demo" crates then "birthmark-demo" else "birthmark";
    platforms = lib.platforms.linux;
  };
}
