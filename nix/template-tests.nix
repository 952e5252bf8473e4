# The templates evaluate as they are handed out, before anybody has changed a line of them: an institution's validator on its
# servers' kind of machine, a photographer's card on the camera's.
{
  self,
  pkgs,
  nixpkgs,
  sops-nix,
}:

let
  birthmark = self;
  inherit (pkgs.stdenv.hostPlatform) isAarch64;
  institution = (import ./templates/institution/flake.nix).outputs {
    inherit birthmark nixpkgs sops-nix;
  };
  photographer = (import ./templates/photographer/flake.nix).outputs { inherit birthmark; };
  machine =
    if isAarch64 then
      photographer.packages.aarch64-linux.card
    else
      institution.nixosConfigurations.validator.config.system.build.toplevel;
in
# Evaluated, not built: what they are made of is built by other checks.
pkgs.writeText "birthmark-templates" (builtins.unsafeDiscardStringContext machine.drvPath)
