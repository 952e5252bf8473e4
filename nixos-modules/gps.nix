# birthmark-gps: reads the receiver on a serial line and answers with fixes.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  cfg = config.services.birthmark.gps;
  ours = import ./lib.nix { inherit lib pkgs; };
  file = ours.checkedFile {
    daemon = "gps";
    inherit (cfg) package settings;
  };
in
{
  imports = [ ./common.nix ];

  options.services.birthmark.gps = {
    enable = lib.mkEnableOption "the Birthmark GPS reader";
    package = lib.mkPackageOption pkgs "birthmark-gps" { };
    settings = lib.mkOption {
      type = lib.types.submodule { freeformType = ours.settingsType; };
      default = { };
      description = "The content of /etc/birthmark/gps.toml, checked by the daemon when the system is built.";
    };
  };

  config = lib.mkIf cfg.enable {
    systemd.packages = [ cfg.package ];
    systemd.services.birthmark-gps = ours.unit {
      inherit file;
      starts = false;
    };
    systemd.sockets.birthmark-gps.wantedBy = [ "sockets.target" ];

    environment.etc."birthmark/gps.toml".source = file;
    users.users.birthmark-gps = ours.account [ "dialout" ] // {
      group = "birthmark-gps";
    };
    users.groups = {
      birthmark-gps = { };
      birthmark = { };
    };

    assertions = [
      {
        assertion = !config.services.gpsd.enable;
        message = "services.birthmark.gps reads the receiver's serial line itself; switch services.gpsd.enable off: two readers of one line each get half of the sentences.";
      }
    ];
  };
}
