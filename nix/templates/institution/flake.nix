{
  description = "Our institution's Birthmark validator";

  inputs = {
    birthmark.url = "github:Birthmark-Standard/Birthmark";
    nixpkgs.follows = "birthmark/nixpkgs";
    sops-nix.follows = "birthmark/sops-nix";
  };

  outputs =
    {
      nixpkgs,
      birthmark,
      sops-nix,
      ...
    }:
    {
      nixosConfigurations.validator = nixpkgs.lib.nixosSystem {
        modules = [
          birthmark.nixosModules.default
          birthmark.nixosModules.server
          sops-nix.nixosModules.sops
          ./validator.nix
        ];
      };
    };
}
