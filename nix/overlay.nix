# Our packages beside those of nixpkgs.
final: _prev:
{
  birthmark-daemons = final.callPackage ./package.nix { };
  birthmark-command = final.callPackage ./package.nix {
    crates = [ "cli" ];
    pname = "birthmark-command";
  };
  # The camera of a rehearsal, which has no sensor.
  birthmark-rehearsal = final.callPackage ./package.nix {
    crates = [
      "signer"
      "capture"
    ];
    pname = "birthmark-rehearsal";
    rehearsal = true;
  };
  birthmark-demo = final.callPackage ./package.nix {
    crates = [ "demo" ];
    pname = "birthmark-demo";
  };
  # Everything at once, for people who try it.
  birthmark = final.symlinkJoin {
    name = "birthmark";
    paths = [
      final.birthmark-command
      final.birthmark-daemons
      final.birthmark-demo
    ];
    inherit (final.birthmark-command) meta;
  };
  birthmark-camera-libcamera = final.callPackage ./libcamera.nix { };
  birthmark-verify-page = final.callPackage ./verify-page.nix { };
  birthmark-docs = final.callPackage ./docs.nix { };
}
// import ./slices.nix {
  inherit (final)
    lib
    runCommand
    birthmark-daemons
    birthmark-rehearsal
    birthmark-camera-libcamera
    ;
}
