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
  chrony = "/run/chrony.birthmark.sock";
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
    giveTime = lib.mkEnableOption ''
      the satellites' time for chrony, to about a fifth of a second: what sets the clock where there is no network. Where there
      is one, chrony believes it more. The daemon then runs all the time, and not only while somebody is connected'';
  };

  config = lib.mkIf cfg.enable {
    systemd.packages = [ cfg.package ];
    systemd.services.birthmark-gps = lib.mkMerge [
      (ours.unit {
        inherit file;
        starts = cfg.giveTime;
      })
      (lib.mkIf cfg.giveTime { after = [ "chronyd.service" ]; })
    ];
    services.birthmark.gps.settings.chrony_socket = lib.mkIf cfg.giveTime chrony;
    # Sentences arrive a tenth to half a second after the second they announce.
    services.chrony.extraConfig = lib.mkIf cfg.giveTime ''
      refclock SOCK ${chrony} refid GPS poll 3 offset 0.2 delay 0.5 precision 0.1
    '';
    # chrony makes the socket as root at each of its starts, for root alone.
    systemd.services.chronyd.serviceConfig.ExecStartPost = lib.mkIf cfg.giveTime [
      "+${lib.getExe' pkgs.coreutils "chown"} birthmark-gps: ${chrony}"
    ];
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
      {
        assertion = cfg.giveTime -> config.services.chrony.enable;
        message = "services.birthmark.gps.giveTime is for chrony, and services.chrony.enable is off: enable it, or switch giveTime off.";
      }
    ];
  };
}
