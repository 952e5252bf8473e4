#!/bin/sh
set -e

if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    deb-systemd-invoke stop @UNITS@ >/dev/null || true
    for instances in @INSTANCES@; do
        systemctl stop "$instances" >/dev/null || true
    done
fi
