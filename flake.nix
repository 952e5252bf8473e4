{
  description = "Birthmark: photos registered at the moment of capture, signed by the camera that took them";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
    nixos-hardware = {
      url = "github:NixOS/nixos-hardware";
      inputs.nixpkgs.follows = "nixpkgs";
    };
    sops-nix = {
      url = "github:Mic92/sops-nix";
      inputs.nixpkgs.follows = "nixpkgs";
    };
  };

  outputs =
    {
      self,
      nixpkgs,
      nixos-hardware,
      sops-nix,
    }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      # One nixpkgs for each kind of machine, whatever is made from it: every further instance costs an
      # evaluation of all outputs some hundred megabytes. (The camera's board adds to it, and so has its own.)
      pkgsFor = lib.genAttrs systems (
        system:
        import nixpkgs {
          inherit system;
          overlays = [ self.overlays.default ];
        }
      );
      forEach = body: lib.genAttrs systems (system: body pkgsFor.${system});
      host =
        system: module:
        lib.nixosSystem {
          specialArgs = { inherit nixos-hardware sops-nix; };
          modules = [
            ./nixos-modules
            { nixpkgs.pkgs = lib.mkDefault pkgsFor.${system}; }
            module
          ];
        };
    in
    {
      overlays.default = import ./nix/overlay.nix;

      packages = forEach (
        pkgs:
        import ./nix/packages.nix { inherit pkgs; }
        # The card is a Raspberry Pi's: build it on an aarch64 machine, or on one with binfmt emulation.
        // lib.optionalAttrs pkgs.stdenv.hostPlatform.isAarch64 {
          camera-image = self.nixosConfigurations.camera.config.system.build.sdImage;
        }
        // lib.optionalAttrs pkgs.stdenv.hostPlatform.isx86_64 (
          import ./images/servers.nix { inherit self lib; }
        )
      );

      nixosModules =
        lib.genAttrs
          [
            "signer"
            "gps"
            "capture"
            "camera"
            "sma"
            "node"
            "default"
          ]
          (name: {
            imports = [ (./nixos-modules + "/${name}.nix") ];
            nixpkgs.overlays = [ self.overlays.default ];
          })
        // {
          # How our own server images are laid out: boot loader, state partition, entry by key.
          server = ./images/server.nix;
        };

      nixosConfigurations = {
        camera = host "aarch64-linux" ./images/camera.nix;
        authority = host "x86_64-linux" ./images/authority.nix;
        validator = host "x86_64-linux" ./images/validator.nix;
        trial = host "x86_64-linux" ./images/trial.nix;
      };

      checks = forEach (
        pkgs:
        import ./nix/checks.nix {
          inherit
            self
            pkgs
            lib
            nixpkgs
            sops-nix
            ;
        }
      );

      devShells = forEach (pkgs: {
        default = import ./nix/shell.nix { inherit pkgs; };
      });

      formatter = forEach (pkgs: pkgs.nixfmt-tree);

      apps = forEach (pkgs: {
        default = self.apps.${pkgs.stdenv.hostPlatform.system}.demo;
        demo = {
          type = "app";
          program = lib.getExe (
            pkgs.writeShellApplication {
              name = "birthmark-demo";
              # With the emulator the demonstration's camera keeps its keys in a TPM, as a real one does.
              runtimeInputs = [ pkgs.swtpm ];
              text = ''exec ${lib.getExe pkgs.birthmark-demo} "$@"'';
            }
          );
          meta.description = "A camera, an authority and a validator on this machine, and one photo through all of them";
        };
      });

      templates = {
        institution = {
          path = ./nix/templates/institution;
          description = "A validator of an institution's own, as its own flake";
        };
        photographer = {
          path = ./nix/templates/photographer;
          description = "A camera card with a photographer's own settings";
        };
        default = self.templates.institution;
      };
    };
}
