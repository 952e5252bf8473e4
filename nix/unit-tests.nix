# The unit files: systemd understands every line, and no daemon is exposed above 1.5.
{ pkgs }:

let
  daemons = [
    pkgs.birthmark-signer
    pkgs.birthmark-gps
    pkgs.birthmark-capture
    pkgs.birthmark-sma
    pkgs.birthmark-node
  ];
in
pkgs.runCommand "birthmark-units" { nativeBuildInputs = [ pkgs.systemd ]; } ''
  mkdir units
  for package in ${toString (daemons ++ [ pkgs.birthmark-common ])}; do
    cp -r --no-preserve=mode "$package"/lib/systemd/system/. units/
  done
  cd units
  # A template is looked at as one of its instances.
  mv birthmark-node@.service birthmark-node@test.service
  systemd-analyze verify --man=no ./birthmark-*.service ./birthmark-*.socket
  for unit in birthmark-*.service; do
    systemd-analyze security --offline=true --threshold=15 "./$unit"
  done
  touch "$out"
''
