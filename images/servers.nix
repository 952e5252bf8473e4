# The disk most people want of each server: qcow2, UEFI. `.#nixosConfigurations.validator.config.system.build.rawDisk` is one
# to write to a disk; `system.build.images.iso` is to look around without one.
{ self, lib }:

lib.mapAttrs' (name: host: lib.nameValuePair "${name}-image" host.config.system.build.disk) {
  inherit (self.nixosConfigurations) authority validator trial;
}
