# The templates as they are handed out: an institution's validator names in words everything that is still an example's, and is
# a machine once that is filled in; a photographer's card is one before anybody has changed a line.
{
  self,
  pkgs,
  lib,
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

  handedOut = institution.nixosConfigurations.validator;
  said = map (entry: entry.message) (
    lib.filter (entry: !entry.assertion) handedOut.config.assertions
  );
  expected = [
    "names no SSH key"
    "services.birthmark.node.front.hostName = \"validator.library.example\""
    "services.birthmark.autoUpgrade.flake = "
    "security.acme.defaults.email = \"it@library.example\""
  ];
  unsaid = lib.filter (part: !lib.any (lib.hasInfix part) said) expected;
  filled = handedOut.extendModules {
    modules = [
      {
        users.users.root.openssh.authorizedKeys.keys = [ "ssh-ed25519 AAAA test" ];
        services.birthmark.node.front.hostName = lib.mkForce "validator.institution.org";
        services.birthmark.autoUpgrade.flake = lib.mkForce "github:institution/validator#validator";
        security.acme.defaults.email = lib.mkForce "it@institution.org";
      }
    ];
  };
  machine =
    if isAarch64 then
      photographer.packages.aarch64-linux.card
    else if unsaid != [ ] || lib.length said != lib.length expected then
      throw "The institution's template says: ${lib.concatStringsSep "\n" said}"
    else
      filled.config.system.build.toplevel;
in
# Evaluated, not built: what they are made of is built by other checks.
pkgs.writeText "birthmark-templates" (builtins.unsafeDiscardStringContext machine.drvPath)
