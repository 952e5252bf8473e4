# Figures, and who looks at them: exporters for the machine, alert rules and a board as files of their own, a Prometheus and a
# Grafana on this machine for those who have none.
{ config, lib, ... }:

let
  cfg = config.services.birthmark;
  of = daemon: lib.head cfg.${daemon}.listen;
  scraped = {
    birthmark-node = lib.optional cfg.node.enable (of "node");
    birthmark-machine = lib.optional cfg.monitoring.enable "127.0.0.1:${toString config.services.prometheus.exporters.node.port}";
    birthmark-postgresql = lib.optional (
      cfg.monitoring.enable && config.services.postgresql.enable
    ) "127.0.0.1:${toString config.services.prometheus.exporters.postgres.port}";
  };
in
{
  options.services.birthmark.monitoring = {
    enable = lib.mkEnableOption "Prometheus exporters for the machine, on 127.0.0.1 only. The daemons' own figures are at /metrics of their HTTP address";

    alerts.enable = lib.mkEnableOption "a Prometheus on this machine, on 127.0.0.1 only, that reads the figures of daemons and machine and knows the rules of nixos-modules/monitoring/alerts.yml. Who is told is up to `services.prometheus.alertmanagers`";

    authorityTokenFile = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = null;
      example = "/run/secrets/prometheus-authority-token";
      description = ''
        A path outside the Nix store, readable by `prometheus`, with an operator's token of the role `read`
        (`birthmark-sma token create prometheus --role read`): without one the authority shows nobody its figures.
      '';
    };

    board.enable = lib.mkEnableOption "the board nixos-modules/monitoring/board.json in `services.grafana`, which is yours to enable and to protect";
  };

  config = lib.mkMerge [
    (lib.mkIf cfg.monitoring.enable {
      services.prometheus.exporters = {
        node = {
          enable = true;
          listenAddress = "127.0.0.1";
          enabledCollectors = [ "systemd" ];
        };
        postgres = lib.mkIf config.services.postgresql.enable {
          enable = true;
          listenAddress = "127.0.0.1";
          runAsLocalSuperUser = true;
        };
      };
    })
    (lib.mkIf cfg.monitoring.alerts.enable {
      services.prometheus = {
        enable = true;
        listenAddress = "127.0.0.1";
        ruleFiles = [ ./monitoring/alerts.yml ];
        scrapeConfigs =
          lib.mapAttrsToList (job_name: targets: {
            inherit job_name;
            static_configs = [ { inherit targets; } ];
          }) (lib.filterAttrs (_: targets: targets != [ ]) scraped)
          ++ lib.optional (cfg.sma.enable && cfg.monitoring.authorityTokenFile != null) {
            job_name = "birthmark-sma";
            authorization.credentials_file = cfg.monitoring.authorityTokenFile;
            static_configs = [ { targets = [ (of "sma") ]; } ];
          };
        # The token's file is not there while this is built.
        checkConfig = lib.mkIf (cfg.monitoring.authorityTokenFile != null) (lib.mkDefault "syntax-only");
      };
      warnings = lib.optional (cfg.sma.enable && cfg.monitoring.authorityTokenFile == null) (
        "services.birthmark.monitoring.alerts does not see the authority: it shows its figures to operators only. Set "
        + "services.birthmark.monitoring.authorityTokenFile."
      );
    })
    (lib.mkIf cfg.monitoring.board.enable {
      services.grafana.provision = {
        enable = true;
        dashboards.settings.providers = [
          {
            name = "birthmark";
            options.path = ./monitoring;
          }
        ];
        datasources.settings.datasources = lib.mkIf cfg.monitoring.alerts.enable [
          {
            name = "Birthmark";
            type = "prometheus";
            url = "http://127.0.0.1:${toString config.services.prometheus.port}";
          }
        ];
      };
      assertions = [
        {
          assertion = config.services.grafana.enable;
          message = "services.birthmark.monitoring.board.enable is a board for services.grafana, which is not enabled: enable it and say who may look, or switch the board off.";
        }
      ];
    })
  ];
}
