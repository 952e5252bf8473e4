# The configuration of a small machine with this module: what the evaluation tests look at.
{
  self,
  pkgs,
  lib,
}:

module:
(lib.nixosSystem {
  modules = [
    self.nixosModules.default
    {
      nixpkgs.hostPlatform = pkgs.stdenv.hostPlatform.system;
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
