# What the two entry points need of the machine. Sourced by ./demo and ./check; takes what it must prepare for: demo or check.
#
# On Debian the missing packages are installed, with sudo where we are not root. With Nix the entry point runs again inside the
# development shell. Elsewhere the missing programs are named.

say() { printf '%s\n' "$*" >&2; }
has() { command -v "$1" >/dev/null 2>&1; }

# PostgreSQL's own programs are not on Debian's PATH.
has_postgresql() {
    has initdb && return 0
    for initdb in /usr/lib/postgresql/*/bin/initdb; do
        [ -x "$initdb" ] && return 0
    done
    return 1
}

# The Debian packages that stand for what is missing, one per line.
missing() {
    has cc || echo gcc
    has c++ || echo g++
    has make || echo make
    has pkg-config || echo pkg-config
    { has pkg-config && pkg-config --exists tss2-esys tss2-mu tss2-tctildr; } || echo libtss2-dev
    has swtpm || echo swtpm
    has swtpm_setup || echo swtpm-tools
    [ "$1" = check ] || return 0
    has tpm2_createek || echo tpm2-tools
    has openssl || echo openssl
    has python3 || echo python3
    has faketime || echo faketime
    has_postgresql || echo postgresql
    has chromium || has chromium-browser || has google-chrome || echo chromium
    has exiftool || echo libimage-exiftool-perl
    has gpg || echo gnupg
    has git || echo git
    # The front that OPERATING.md describes. Debian leaves it off the PATH of people.
    has nginx || [ -x /usr/sbin/nginx ] || echo nginx-light
    has shellcheck || echo shellcheck
    # A card's partitions are tried on a loop device, which is root's.
    [ "$(id -u)" -ne 0 ] || has sfdisk || echo fdisk
    has mmdebstrap || echo mmdebstrap
    # Emulated machines are of this kind; elsewhere their step is skipped.
    [ "$(uname -m)" = x86_64 ] || return 0
    has qemu-system-x86_64 || echo qemu-system-x86
    has mkfs.ext4 || has /sbin/mkfs.ext4 || echo e2fsprogs
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

install_debian() {
    if [ "$(id -u)" -ne 0 ] && ! has sudo; then
        say "Missing: $*"
        say "Install them as root: apt-get install $*"
        return 1
    fi
    say "Installing what is missing: $*"
    case " $* " in
    *" postgresql "*)
        # The tests make their own servers; without this the package would start one of its own.
        if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
            as_root mkdir -p /etc/postgresql-common
            echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
        fi
        ;;
    esac
    # Package lists may be absent or old; an unreachable mirror shows when installing.
    as_root apt-get update -q >&2 || true
    # No package may start what it brings: the tests start their own servers. The policy is ours only while this runs, and stays
    # as it is where the machine has one.
    # shellcheck disable=SC2016 # expanded by the shell that is root
    as_root env DEBIAN_FRONTEND=noninteractive sh -c '
        policy=/usr/sbin/policy-rc.d
        if [ ! -e "$policy" ]; then
            trap "rm -f $policy" EXIT
            trap "exit 1" HUP INT TERM
            printf "#!/bin/sh\nexit 101\n" >"$policy"
            chmod 755 "$policy"
        fi
        apt-get install -y -q --no-install-recommends "$@"
    ' install "$@" >&2
    case " $* " in
    *" nginx-light "*)
        # Nor at the next start of the machine.
        ! has systemctl || as_root systemctl --quiet disable nginx.service >&2 || true
        ;;
    esac
}

prepare() {
    purpose=$1
    packages=$(missing "$purpose" | tr '\n' ' ')
    [ -z "$packages" ] && return 0
    if has apt-get; then
        # shellcheck disable=SC2086 # one word per package
        install_debian $packages
    else
        say "Missing, by the names Debian gives them: $packages"
        return 1
    fi
}

# With Nix and without apt, everything comes from the flake's development shell.
enter_nix_shell() {
    if has nix && ! has apt-get && [ -z "${IN_NIX_SHELL:-}" ]; then
        exec nix --extra-experimental-features 'nix-command flakes' develop --command "$@"
    fi
}

require_rust() {
    # rustup puts cargo here, which a fresh login shell may not have on its PATH yet.
    has cargo || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    if ! has cargo; then
        say "Rust is missing: install version 1.95 or later with rustup, or the packages rustc and cargo where they are that new."
        return 1
    fi
}
