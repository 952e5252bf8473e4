# Our packages beside those of nixpkgs.
final: _prev:
{
  birthmark = final.callPackage ./package.nix { };
  birthmark-verify-page = final.callPackage ./verify-page.nix { };
  birthmark-docs = final.callPackage ./docs.nix { };
}
// import ./slices.nix {
  inherit (final) lib runCommand birthmark;
}
