# No image and no host carries a secret or a key that two machines would share: looked for in our programs, in what a built
# system has in /etc, and in everything else it consists of, by what private keys look like; and no user has a password.
{
  self,
  pkgs,
  lib,
}:

let
  ours = lib.filterAttrs (
    _: host: host.pkgs.stdenv.hostPlatform.system == pkgs.stdenv.hostPlatform.system
  ) self.nixosConfigurations;
  etcs = map (host: host.config.system.build.etc) (lib.attrValues ours);
  closures = pkgs.closureInfo {
    rootPaths = map (host: host.config.system.build.toplevel) (lib.attrValues ours);
  };
  programs = [
    pkgs.birthmark
    pkgs.birthmark-common
    pkgs.birthmark-docs
  ];

  hasPassword =
    user:
    lib.any (how: user.${how} != null && user.${how} != "!") [
      "password"
      "hashedPassword"
      "hashedPasswordFile"
      "initialPassword"
      "initialHashedPassword"
    ];
  open = lib.concatLists (
    lib.mapAttrsToList (
      name: host:
      map (user: "${user.name} on ${name}") (
        lib.filter hasPassword (lib.attrValues host.config.users.users)
      )
    ) ours
  );
in
if open != [ ] then
  throw "These users have a password that every machine of the image would share: ${lib.concatStringsSep ", " open}"
else
  pkgs.runCommand "birthmark-no-secrets" { } ''
    ${builtins.readFile ./look-for-secrets.sh}

    # A search that finds nothing must be shown to search.
    mkdir -p control/etc/birthmark
    printf -- '-----BEGIN EC PRIVATE KEY-----\nTESTTESTTESTTESTTESTTESTTESTTESTTESTTESTTEST\n' > hidden
    ln -s "$PWD/hidden" control/etc/birthmark/vote-key
    cp ${../secrets/TEST-KEY-not-a-secret.txt} control/etc/birthmark/age
    mkdir -p control/etc/ssh
    touch control/etc/machine-id control/etc/ssh/ssh_host_ed25519_key
    test "$(look_into_etc control | wc -l)" = 4
    mkdir -p made/bin program
    cp hidden made/bin/start
    cp hidden program/test-key
    head -c 2M /dev/zero > program/big
    printf '%s\n' "$PWD/hidden" "$PWD/made" "$PWD/program" "$PWD/control/etc/birthmark" > list
    test "$(look_into_closure list | sort)" = "$(printf '%s\n' "$PWD/control/etc/birthmark/age" "$PWD/hidden" "$PWD/made/bin/start")"

    {
      look_for_keys ${toString programs}
      for etc in ${toString etcs}; do look_into_etc "$etc"; done
      look_into_closure ${closures}/store-paths
    } > found
    cat found
    test ! -s found
    touch "$out"
  ''
