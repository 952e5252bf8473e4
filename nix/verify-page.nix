# The verifier for the browser: one WebAssembly module, built from the same ledger crate as everything else.
{
  lib,
  rustPlatform,
  lld,
}:

rustPlatform.buildRustPackage {
  pname = "birthmark-verify-page";
  version = (lib.importTOML ../Cargo.toml).workspace.package.version;
  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../Cargo.toml
      ../Cargo.lock
      ../crates
      ../spec
    ];
  };
  cargoLock.lockFile = ../Cargo.lock;
  nativeBuildInputs = [ lld ];

  # Not the machine's own target: the build and its result are spelled out.
  buildPhase = ''
    runHook preBuild
    cargo build --release --offline --package birthmark-verify-wasm --target wasm32-unknown-unknown
    runHook postBuild
  '';
  installPhase = ''
    runHook preInstall
    install -D -m 0644 -t "$out/share/birthmark/verify" target/wasm32-unknown-unknown/release/*.wasm
    runHook postInstall
  '';
  doCheck = false;

  meta = {
    description = "Verifies a receipt in the browser, without uploading the photo";
    license = lib.licenses.asl20;
  };
}
