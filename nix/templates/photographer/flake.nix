{
  description = "My Birthmark camera";

  inputs.birthmark.url = "github:Birthmark-Standard/Birthmark";

  outputs =
    { birthmark, ... }:
    let
      camera = birthmark.nixosConfigurations.camera.extendModules { modules = [ ./camera.nix ]; };
    in
    {
      nixosConfigurations.camera = camera;
      # On a Raspberry Pi or another aarch64 machine: nix build .#card
      packages.aarch64-linux.card = camera.config.system.build.sdImage;
    };
}
