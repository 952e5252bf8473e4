# What a machine installs: one program with its unit files, cut from the one build of the workspace.
{
  lib,
  runCommand,
  birthmark-daemons,
  birthmark-camera-libcamera,
  birthmark-rehearsal,
}:

let
  # The folder as a whole: a template's name has an "@", which no store path may have.
  systemd = ../systemd;

  slice =
    {
      program,
      units ? [ ],
      about,
      built ? birthmark-daemons,
    }:
    runCommand "${program}-${birthmark-daemons.version}"
      {
        meta = birthmark-daemons.meta // {
          description = about;
          mainProgram = program;
        };
      }
      ''
        install -D -m 0755 ${built}/bin/${program} "$out/bin/${program}"
        for page in ${birthmark-daemons}/share/man/man?/${program}.[18].gz; do
          test -e "$page" || continue
          install -D -m 0644 "$page" "$out/share/man/$(basename "$(dirname "$page")")/$(basename "$page")"
        done
        ${lib.concatMapStrings (unit: ''
          install -D -m 0644 ${systemd}/${unit} "$out/lib/systemd/system/${unit}"
          substituteInPlace "$out/lib/systemd/system/${unit}" --replace-quiet /usr/bin/ "$out/bin/"
        '') units}
      '';

  unitsOf = name: [
    "birthmark-${name}.service"
    "birthmark-${name}.socket"
  ];

  signerUnits = unitsOf "signer" ++ [
    "birthmark-signer-credential.service"
    "dev-tpmrm0.device.d/50-birthmark.conf"
  ];

  daemon =
    name: about:
    slice {
      inherit about;
      program = "birthmark-${name}";
      units = unitsOf name;
    };
in
{
  birthmark-signer = slice {
    program = "birthmark-signer";
    about = "Sole owner of a camera's TPM: enrols, seals, signs, issues tokens";
    units = signerUnits;
  };
  birthmark-gps = daemon "gps" "Reads a camera's GPS receiver and answers with fixes";
  birthmark-capture = daemon "capture" "Takes photos, hashes, develops, queues and submits them";
  # The same daemon, unit and manual page for cameras of libcamera, such as the Raspberry Pi's.
  birthmark-capture-libcamera = slice {
    program = "birthmark-capture";
    about = "Takes photos with libcamera, hashes, develops, queues and submits them";
    units = unitsOf "capture";
    built = birthmark-camera-libcamera;
  };
  # The same two for rehearsals, with painted scenes and files as sources: for the trial machine and the scenarios.
  birthmark-signer-rehearsal = slice {
    program = "birthmark-signer";
    about = "Signs a rehearsal's photos, which no sensor delivered";
    units = signerUnits;
    built = birthmark-rehearsal;
  };
  birthmark-capture-rehearsal = slice {
    program = "birthmark-capture";
    about = "Rehearses a camera with painted scenes instead of a sensor";
    units = unitsOf "capture";
    built = birthmark-rehearsal;
  };
  birthmark-sma = daemon "sma" "Manufacturer authority: certificates, tokens, revocation";
  birthmark-node = slice {
    program = "birthmark-node";
    about = "Validator node: admission, blocks, receipts";
    units = unitsOf "node" ++ [ "birthmark-node@.service" ];
  };

  # What every daemon shares: the sandbox, and the journal's explanations for `journalctl -x`.
  birthmark-common =
    runCommand "birthmark-common-${birthmark-daemons.version}"
      {
        meta = birthmark-daemons.meta // {
          description = "Sandbox and message catalog of the Birthmark daemons";
        };
      }
      ''
        install -D -m 0644 ${systemd}/birthmark-.service.d/50-sandbox.conf \
          "$out/lib/systemd/system/birthmark-.service.d/50-sandbox.conf"
        install -D -m 0644 ${systemd}/birthmark.catalog "$out/lib/systemd/catalog/birthmark.catalog"
      '';
}
