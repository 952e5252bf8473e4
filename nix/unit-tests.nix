# The unit files: systemd understands every line, and no daemon is exposed above 1.5; as they are packaged, and as each host
# runs them with what its configuration adds.
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
  look() { # a folder with units
    cd "$1"
    systemd-analyze verify --man=no ./birthmark-*.service ./birthmark-*.socket
    for unit in birthmark-*.service; do
      systemd-analyze security --offline=true --threshold=15 "./$unit"
    done
    cd ..
  }

  mkdir packaged
  for package in ${toString (daemons ++ [ pkgs.birthmark-common ])}; do
    cp -r --no-preserve=mode "$package"/lib/systemd/system/. packaged/
  done
  # A template is looked at as one of its instances.
  mv packaged/birthmark-node@.service packaged/birthmark-node@test.service
  look packaged

  ${lib.concatStrings (
    lib.mapAttrsToList (name: host: ''
      cp -rL --no-preserve=mode ${host.config.environment.etc."systemd/system".source} ${name}
      rm -f ${name}/birthmark-node@.service
      look ${name}
    '') hosts
  )}
  touch "$out"
''
