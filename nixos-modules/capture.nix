# birthmark-capture: the only process that may open the camera.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  cfg = config.services.birthmark.capture;
  ours = import ./lib.nix { inherit lib pkgs; };
  file = ours.checkedFile {
    daemon = "capture";
    inherit (cfg) package settings;
  };
in
{
  imports = [ ./common.nix ];

  options.services.birthmark.capture = {
    enable = lib.mkEnableOption "the Birthmark camera daemon";
    package = lib.mkPackageOption pkgs "birthmark-capture" { };
    settings = lib.mkOption {
      type = lib.types.submodule {
        freeformType = ours.settingsType;
        options.photos = lib.mkOption {
          type = lib.types.str;
          default = "/var/lib/birthmark-photos";
          description = "Where photos go.";
        };
      };
      default = { };
      description = "The content of /etc/birthmark/capture.toml, checked by the daemon when the system is built.";
    };
    settingsFile = lib.mkOption {
      type = lib.types.str;
      default = "/etc/birthmark/capture.toml";
      example = "/var/lib/birthmark-card/capture.toml";
      description = ''
        The file the daemon reads. A card that learns its validator's address at first boot has it outside the store;
        `settings` is then what it starts from.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    systemd.packages = [ cfg.package ];
    systemd.services.birthmark-capture = lib.mkMerge [
      (ours.unit {
        inherit file;
      })
      (lib.mkIf (cfg.settingsFile != "/etc/birthmark/capture.toml") {
        serviceConfig.ExecStart = [
          ""
          "${lib.getExe cfg.package} --config ${cfg.settingsFile}"
        ];
      })
    ];
    systemd.sockets.birthmark-capture.wantedBy = [ "sockets.target" ];

    environment.etc."birthmark/capture.toml".source = file;
    users.users.birthmark-capture =
      ours.account [
        "birthmark"
        "video"
        "gpio"
      ]
      // {
        group = "birthmark-capture";
      };
    users.groups = {
      birthmark-capture = { };
      birthmark = { };
      gpio = { };
    };
    # NixOS gives the header's pins to root alone.
    services.udev.extraRules = builtins.readFile ../systemd/60-birthmark-camera.rules;

    assertions = [
      {
        assertion = cfg.settings ? source.kind;
        message = "services.birthmark.capture.settings.source.kind: which sensor does this camera have? \"libcamera\" (with package = pkgs.birthmark-capture-libcamera) for those of a Raspberry Pi, \"v4l2\" for what the kernel shows as /dev/video0.";
      }
      {
        assertion =
          lib.elem (cfg.settings.source.kind or null) [
            "simulated"
            "dng"
          ]
          -> cfg.package == pkgs.birthmark-capture-rehearsal;
        message = "services.birthmark.capture.settings.source.kind = \"${cfg.settings.source.kind or ""}\" photographs no scene: a camera that ships refuses it. For a rehearsal, say so with services.birthmark.capture.package = pkgs.birthmark-capture-rehearsal.";
      }
    ];
    warnings =
      lib.optional (!config.services.birthmark.signer.enable)
        "services.birthmark.capture is on without services.birthmark.signer on the same machine: nothing will sign its photos.";
  };
}
