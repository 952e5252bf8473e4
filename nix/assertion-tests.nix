# Wrong settings are refused in words: each case must fail, and with the sentence a person can act on.
{
  pkgs,
  lib,
  nixpkgs,
  everything,
}:

let
  evaluate = import ./evaluate.nix { inherit pkgs lib nixpkgs; };

  failuresOf =
    config: map (entry: entry.message) (lib.filter (entry: !entry.assertion) config.assertions);

  # What is said of a machine with all of these mistakes at once. Every sentence names the option it is about, so a case
  # finds its own; a machine for each case cost this test two gigabytes. A case is on another machine if its settings are
  # in the way of another's.
  said =
    read: cases:
    let
      of = machine: map (case: case.module) (lib.filter (case: (case.machine or 1) == machine) cases);
    in
    lib.concatMap
      (
        machine:
        read (evaluate {
          imports = of machine;
        })
      )
      [
        1
        2
        3
      ];

  refused = {
    "a secret in the store" = {
      module.services.birthmark.node = {
        enable = true;
        credentials.signing-key = "${pkgs.writeText "TEST-key" "not a secret"}";
      };
      says = "give an absolute path outside the Nix store";
    };
    "a secret given as a path of the flake" = {
      machine = 3;
      module.services.birthmark.node.credentials.vote-key = builtins.path {
        name = "TEST-key";
        path = ./checks.nix;
      };
      says = "services.birthmark.node.credentials.vote-key = ";
    };
    "a credential nobody reads" = {
      module.services.birthmark.sma = {
        enable = true;
        credentials.sining-key = "/run/secrets/x";
      };
      says = "reads no credential of that name";
    };
    "TLS without a name" = {
      module.services.birthmark.node = {
        enable = true;
        front.enable = true;
      };
      says = "which name does the certificate carry?";
    };
    "ACME without its terms" = {
      machine = 2;
      module.services.birthmark.node = {
        enable = true;
        front.enable = true;
        front.hostName = "validator.institution.org";
      };
      says = "read the issuer's terms";
    };
    "a backup that goes nowhere" = {
      module.services.birthmark.node = {
        enable = true;
        backup.enable = true;
      };
      says = "needs both services.birthmark.node.backup.repository";
    };
    "a certificate for an example's name" = {
      machine = 3;
      module.services.birthmark.node = {
        enable = true;
        front.enable = true;
        front.hostName = "validator.library.example";
      };
      says = "services.birthmark.node.front.hostName = \"validator.library.example\" is an example's name";
    };
    "a backup to an example" = {
      machine = 2;
      module.services.birthmark.sma.backup = {
        enable = true;
        repository = "sftp:backup@archive.library.example:/birthmark";
        passwordFile = "/run/secrets/x";
      };
      says = "\"sftp:backup@archive.library.example:/birthmark\" is an example";
    };
    "the template's upgrades" = {
      machine = 2;
      module.services.birthmark.autoUpgrade = {
        enable = true;
        flake = "github:our-library/our-validator#validator";
      };
      says = "is the template's own: every night's upgrade would fail";
    };
    "an example's address for the issuer of certificates" = {
      machine = 3;
      module.security.acme = {
        acceptTerms = true;
        defaults.email = "it@library.example";
      };
      says = "security.acme.defaults.email = \"it@library.example\" is an example's address";
    };
    "upgrades at no time of day" = {
      machine = 3;
      module.services.birthmark.autoUpgrade.window = {
        lower = "2am";
        upper = "24:00";
      };
      says = "services.birthmark.autoUpgrade.window.lower = \"2am\" is no time of day. Write for example";
    };
    "upgrades that end at no time of day" = {
      machine = 3;
      module = { };
      says = "services.birthmark.autoUpgrade.window.upper = \"24:00\" is no time of day. Write for example";
    };
    "upgrades spread over more than the night" = {
      machine = 2;
      module.services.birthmark.autoUpgrade = {
        window.lower = "23:00";
        window.upper = "00:30";
        stagger = 90;
      };
      says = "from 23:00 to 00:30 there are 90, so that some machines would begin when none may be started again";
    };
    "upgrades from nowhere" = {
      module.services.birthmark.node.enable = true;
      module.services.birthmark.autoUpgrade.enable = true;
      says = "which flake describes this machine?";
    };
    "two readers of one serial line" = {
      module.services.birthmark.gps.enable = true;
      module.services.gpsd.enable = true;
      says = "two readers of one line";
    };
    "the satellites' time for nobody" = {
      machine = 2;
      module.services.birthmark.gps = {
        enable = true;
        giveTime = true;
      };
      module.services.chrony.enable = false;
      says = "giveTime is for chrony, and services.chrony.enable is off";
    };
    "two resource managers on one TPM" = {
      module.services.birthmark.signer.enable = true;
      module.security.tpm2.abrmd.enable = true;
      says = "two resource managers";
    };
    "a rehearsal's authority for the whole internet" = {
      machine = 2;
      module.services.birthmark.sma = {
        enable = true;
        openFirewall = true;
        settings.rehearsal = true;
      };
      says = "services.birthmark.sma.settings.rehearsal is for trying things out";
    };
    "a camera without a sensor" = {
      module.services.birthmark.capture.enable = true;
      says = "which sensor does this camera have?";
    };
    "a camera that signs paintings" = {
      machine = 2;
      module.services.birthmark.capture = {
        enable = true;
        settings.source.kind = "simulated";
      };
      says = "services.birthmark.capture.settings.source.kind = \"simulated\" photographs no scene";
    };
    "photos for every network" = {
      module.services.birthmark.camera = {
        enable = true;
        share.enable = true;
      };
      module.networking.firewall.enable = false;
      says = "without it the photos are offered on every network";
    };
    "two daemons on one port" = {
      module.services.birthmark.node.enable = true;
      module.services.birthmark.sma = {
        enable = true;
        listen = [ "127.0.0.1:8545" ];
      };
      says = "both listen on 127.0.0.1:8545";
    };
    "two daemons on one port, in other words" = {
      machine = 3;
      module.services.birthmark.node.enable = true;
      module.services.birthmark.sma = {
        enable = true;
        listen = [ "0.0.0.0:8545" ];
      };
      says = "both listen on 0.0.0.0:8545";
    };
    "ports to open that are none" = {
      machine = 2;
      module.services.birthmark.sma = {
        enable = true;
        openFirewall = true;
        listen = [
          "0.0.0.0"
          "/run/birthmark-sma.sock"
        ];
      };
      says = "services.birthmark.sma.listen = \"0.0.0.0\", \"/run/birthmark-sma.sock\" names none";
    };
    "a length of time that journald ignores" = {
      module.services.birthmark.journal.keep = "three months";
      says = "services.birthmark.journal.keep = \"three months\" is no length of time";
    };
  };

  warned = {
    "plain HTTP to the world" = {
      module.services.birthmark.node = {
        enable = true;
        listen = [ "[::]:8545" ];
      };
      says = "reaches beyond this machine without TLS";
    };
    "an open port nobody listens on" = {
      module.services.birthmark.sma = {
        enable = true;
        openFirewall = true;
      };
      says = "opens a port that only this machine listens on";
    };
    "no firewall" = {
      module.services.birthmark.node.enable = true;
      module.networking.firewall.enable = false;
      says = "The firewall is off";
    };
    "a camera that cannot sign" = {
      module.services.birthmark.capture.enable = true;
      says = "nothing will sign its photos";
    };
  };

  # A machine with everything at its defaults has nothing to complain about.
  quiet = failuresOf everything ++ everything.warnings;

  unheard =
    read: cases:
    let
      sentences = said read (lib.attrValues cases);
    in
    lib.attrNames (lib.filterAttrs (_: case: !lib.any (lib.hasInfix case.says) sentences) cases);
  silent = unheard failuresOf refused ++ unheard (config: config.warnings) warned;
in
if silent != [ ] then
  throw "These cases are not refused in the expected words: ${lib.concatStringsSep ", " silent}"
else if quiet != [ ] then
  throw "The defaults complain: ${lib.concatStringsSep "\n" quiet}"
else
  pkgs.runCommand "birthmark-assertions" { } ''
    echo "${toString (lib.length (lib.attrNames (refused // warned)))} cases" > "$out"
  ''
