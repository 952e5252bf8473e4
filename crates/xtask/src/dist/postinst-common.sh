#!/bin/sh
set -e

if [ "$1" = configure ]; then
    systemd-tmpfiles --create birthmark.conf || true
    journalctl --update-catalog >/dev/null 2>&1 || true
fi
