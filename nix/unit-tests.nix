# The unit files: systemd understands every line, and no daemon is exposed above 1.5; as they are packaged, and as each host
# runs them with what its configuration adds. The steps are tried on trees like these by nix/tests/look-at-units.sh.
{
  self,
  pkgs,
  lib,
}:

let
  daemons = [
    pkgs.birthmark-signer
    pkgs.birthmark-gps
    pkgs.birthmark-capture
    pkgs.birthmark-sma
    pkgs.birthmark-node
  ];
  hosts = lib.filterAttrs (
    _: host: host.pkgs.stdenv.hostPlatform.system == pkgs.stdenv.hostPlatform.system
  ) self.nixosConfigurations;
in
pkgs.runCommand "birthmark-units" { nativeBuildInputs = [ pkgs.systemd ]; } ''
  . ${./look-at-units.sh}

  mkdir packaged
  for package in ${toString (daemons ++ [ pkgs.birthmark-common ])}; do
    cp -r --no-preserve=mode "$package"/lib/systemd/system/. packaged/
  done
  look_at_units "$PWD/packaged"

  ${lib.concatStrings (
    lib.mapAttrsToList (name: host: ''
      echo ${name}
      look_at_units ${host.config.environment.etc."systemd/system".source}
    '') hosts
  )}
  touch "$out"
''
