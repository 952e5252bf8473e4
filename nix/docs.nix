# The documents as they are read on a machine without a network.
{
  lib,
  runCommand,
}:

let
  documents = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../docs
      (lib.fileset.maybeMissing ../README.md)
    ];
  };
in
runCommand "birthmark-docs" { } ''
  mkdir -p "$out/share/doc"
  cp -r ${documents} "$out/share/doc/birthmark"
''
