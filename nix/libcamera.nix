# The capture daemon of a Raspberry Pi's card, with libcamera. A crate of its own with its own lock file: nothing else in the
# workspace needs C++. libcamera is LGPL and stays a shared library beside the program, as that licence asks.
{
  rustPlatform,
  pkg-config,
  libcamera,
  birthmark-daemons,
}:

rustPlatform.buildRustPackage {
  pname = "birthmark-camera-libcamera";
  inherit (birthmark-daemons) version src;
  cargoRoot = "crates/camera-libcamera";
  buildAndTestSubdir = "crates/camera-libcamera";
  cargoLock.lockFile = ../crates/camera-libcamera/Cargo.lock;

  nativeBuildInputs = [
    pkg-config
    rustPlatform.bindgenHook
  ];
  buildInputs = [ libcamera ];

  meta = birthmark-daemons.meta // {
    description = "Takes photos with a camera of libcamera, hashes, develops, queues and submits them";
    mainProgram = "birthmark-capture";
  };
}
