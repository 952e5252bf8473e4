# The disk most people want of each server: qcow2, UEFI. Every other form is in `system.build.images` of the same host, for
# example .#nixosConfigurations.validator.config.system.build.images.raw-efi, or .iso to look around without a disk.
{ self, lib }:

lib.mapAttrs' (
  name: host: lib.nameValuePair "${name}-image" host.config.system.build.images.qemu-efi
) { inherit (self.nixosConfigurations) authority validator trial; }
