# The configuration of a small machine with this module: what the evaluation tests look at. All of them share
# one nixpkgs, and none makes a manual: evaluating many is what these tests cost.
{
  pkgs,
  lib,
  nixpkgs,
}:

module:
(lib.nixosSystem {
  modules = [
    (nixpkgs + "/nixos/modules/misc/nixpkgs/read-only.nix")
    ../nixos-modules
    {
      nixpkgs.pkgs = pkgs;
      documentation.enable = false;
      boot.loader.grub.enable = false;
      fileSystems."/" = {
        device = "tmpfs";
        fsType = "tmpfs";
      };
      system.stateVersion = "26.05";
    }
    module
  ];
}).config
