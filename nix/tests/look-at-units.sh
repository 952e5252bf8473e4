# look-at-units.sh REPOSITORY: the Nix check of the units, on trees laid out as NixOS lays out its own: links into another
# folder, masked units among them, systemd's own elsewhere; by somebody who may make neither devices nor folders in /run.
# Exits with 77 where systemd is too old for our units.
set -eu
repository=$(readlink -f "$1")

version=$(systemd-analyze --version 2> /dev/null | { read -r _ version _ && echo "$version"; } || echo 0)
if [ "$version" -lt 257 ]; then
    echo "systemd-analyze is older than 257 or absent" >&2
    exit 77
fi
# shellcheck source-path=SCRIPTDIR source=../look-at-units.sh
. "$repository/nix/look-at-units.sh"

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

# As Nix builds.
look() {
    chmod -R a+rX "$tree"
    if [ "$(id -u)" = 0 ]; then
        # shellcheck disable=SC2016
        setpriv --reuid=65534 --regid=65534 --clear-groups \
            bash -euc '. "$1"; look_at_units "$2"' _ "$repository/nix/look-at-units.sh" "$1"
    else
        look_at_units "$1"
    fi
}

# The packages as slices.nix cuts them, with a program that this machine has.
lay_out() {
    mkdir -p "$tree/store" "$tree/$1"
    cp -r "$repository/systemd/." "$tree/store/"
    sed -i 's,/usr/bin/birthmark[-a-z]*,/usr/bin/env,' "$tree"/store/birthmark-*.service
    for unit in "$tree"/store/birthmark-*.service "$tree"/store/birthmark-*.socket "$tree"/store/*.d; do
        ln -sfn "$unit" "$tree/$1/$(basename "$unit")"
    done
}

refused() {
    if look "$tree/$1" 2> "$tree/said"; then
        echo "$1: nothing was found wrong" >&2
        exit 1
    fi
    if ! grep -q -- "$2" "$tree/said"; then
        echo "$1: refused in other words: $(cat "$tree/said")" >&2
        exit 1
    fi
}

lay_out packaged
look "$tree/packaged"

# A host: every unit of the system beside ours, and some of them masked.
lay_out host
ln -s /dev/null "$tree/host/console-getty.service"
ln -s /dev/null "$tree/host/birthmark-masked.service"
mkdir "$tree/host/birthmark-node.service.d"
printf '[Service]\nLoadCredential=vote-key:/run/secrets/vote-key\n' > "$tree/host/birthmark-node.service.d/overrides.conf"
look "$tree/host"

# What it is for.
lay_out exposed
mkdir "$tree/exposed/birthmark-sma.service.d"
printf '[Service]\nProtectSystem=no\nPrivateDevices=no\nNoNewPrivileges=no\nSystemCallFilter=\nCapabilityBoundingSet=~\n' \
    > "$tree/exposed/birthmark-sma.service.d/overrides.conf"
refused exposed 'birthmark-sma.service: .*exposure level'
lay_out misspelt
mkdir "$tree/misspelt/birthmark-sma.service.d"
printf '[Service]\nProtectSystm=strict\n' > "$tree/misspelt/birthmark-sma.service.d/overrides.conf"
refused misspelt "ProtectSystm"
echo "look-at-units: 2 trees are well, 2 are refused"
