# Our packages beside those of nixpkgs.
final: _prev:
{
  birthmark-daemons = final.callPackage ./package.nix { };
  birthmark-command = final.callPackage ./package.nix {
    crates = [ "cli" ];
    pname = "birthmark-command";
  };
  # Everything at once, for people who try it.
  birthmark = final.symlinkJoin {
    name = "birthmark";
    paths = [
      final.birthmark-command
      final.birthmark-daemons
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
    birthmark-camera-libcamera
    ;
}
