#!/bin/sh
set -e

if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
fi
if [ "$1" = remove ] && [ -x /usr/bin/deb-systemd-helper ]; then
    deb-systemd-helper mask @UNITS@ >/dev/null || true
fi
# Removing keeps settings and state; purging ends them. Photos stay: they are their owner's.
if [ "$1" = purge ]; then
    if [ -x /usr/bin/deb-systemd-helper ]; then
        deb-systemd-helper purge @UNITS@ >/dev/null || true
        deb-systemd-helper unmask @UNITS@ >/dev/null || true
    fi
    for daemon in @ON_DEMAND@ @CONFIGURED@; do
        rm -f "/etc/birthmark/$daemon.toml"
    done
    for state in @STATE@; do
        rm -rf "/var/lib/$state"
    done
    rmdir /etc/birthmark 2>/dev/null || true
    if [ "@PACKAGE@" = birthmark-camera ] && [ -d /var/lib/birthmark-photos ]; then
        echo "photos are left in /var/lib/birthmark-photos, proofs on their way in /var/lib/birthmark-capture"
    fi
fi
