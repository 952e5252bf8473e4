# No image and no host carries a secret or a key that two machines would share: looked for in everything a built system is
# made of, by what private keys and password files look like.
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
in
pkgs.runCommand "birthmark-no-secrets"
  {
    closure = pkgs.writeClosure (
      etcs
      ++ [
        pkgs.birthmark-signer
        pkgs.birthmark-capture
        pkgs.birthmark-sma
        pkgs.birthmark-node
      ]
    );
  }
  ''
    found=0
    look() { # what it is, pattern, where
      if grep -rlaE -- "$2" $3 >> hits 2>/dev/null; then
        echo "found $1:" && cat hits && found=1
      fi
      : > hits
    }
    for etc in ${toString etcs}; do
      look "a private key" '-----BEGIN ([A-Z]+ )*PRIVATE KEY-----' "$etc/etc/birthmark $etc/etc/ssh"
      look "an age key" 'AGE-SECRET-KEY-1' "$etc/etc/birthmark $etc/etc/ssh"
      if [ -e "$etc/etc/machine-id" ]; then echo "a machine id that every machine would share"; found=1; fi
      for key in "$etc"/etc/ssh/*_key; do
        test -e "$key" && { echo "a host key: $key"; found=1; }
      done
    done
    for path in $(grep birthmark "$closure"); do
      look "a private key" '-----BEGIN ([A-Z]+ )*PRIVATE KEY-----[A-Za-z0-9+/=[:space:]]{40}' "$path"
    done
    test "$found" = 0
    touch "$out"
  ''
