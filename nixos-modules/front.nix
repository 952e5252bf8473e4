# nginx before the two servers: what it allows one client and all together. The files beside this are nginx's own language,
# so that they are tried with a real nginx here (nix/tests/front.py) and can be read by whoever runs another front.
{ config, lib, ... }:

let
  fronted = lib.any (daemon: with config.services.birthmark.${daemon}; enable && front.enable) [
    "node"
    "sma"
  ];
in
{
  config.services.nginx = lib.mkIf fronted {
    enable = true;
    recommendedTlsSettings = true;
    # Neither is what went wrong with a request. What is wrong with nginx itself is still said.
    logError = lib.mkDefault "stderr emerg";
    appendConfig = builtins.readFile ./front/main.conf;
    eventsConfig = builtins.readFile ./front/events.conf;
    commonHttpConfig = builtins.readFile ./front/http.conf;
  };
}
