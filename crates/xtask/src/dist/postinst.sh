#!/bin/sh
set -e

# Started at once: daemons that need no settings, through their sockets.
on_demand="@ON_DEMAND@"
# Started once somebody wrote their settings.
configured="@CONFIGURED@"

if [ "$1" = configure ] || [ "$1" = abort-upgrade ] || [ "$1" = abort-deconfigure ] || [ "$1" = abort-remove ]; then
    systemd-sysusers @PACKAGE@.conf
    systemd-tmpfiles --create birthmark.conf || true

    @DRAW_KEY@
    for key in @DRAWN@; do
        draw_key /etc "$key"
    done

    for unit in @UNITS@; do
        deb-systemd-helper unmask "$unit" >/dev/null || true
        if deb-systemd-helper --quiet was-enabled "$unit"; then
            deb-systemd-helper enable "$unit" >/dev/null 2>&1 || true
        else
            deb-systemd-helper update-state "$unit" >/dev/null 2>&1 || true
        fi
    done

    if [ -d /run/systemd/system ]; then
        systemctl --system daemon-reload >/dev/null || true
        udevadm control --reload >/dev/null 2>&1 || true
        # Pins and buffers that are there already get their groups now.
        udevadm trigger --action=change --subsystem-match=gpio --subsystem-match=dma_heap >/dev/null 2>&1 || true
        for daemon in $on_demand; do
            deb-systemd-invoke start "birthmark-$daemon.socket" >/dev/null || true
            deb-systemd-invoke try-restart "birthmark-$daemon.service" >/dev/null || true
        done
    fi
    if [ -d /run/systemd/system ]; then
        for instances in @INSTANCES@; do
            systemctl try-restart "$instances" >/dev/null || true
        done
    fi
    for daemon in $configured; do
        if [ ! -e "/etc/birthmark/$daemon.toml" ]; then
            echo "birthmark-$daemon waits for its settings: write /etc/birthmark/$daemon.toml" \
                "(an example is in /usr/share/doc/@PACKAGE@/examples), then: systemctl start birthmark-$daemon"
        elif [ -d /run/systemd/system ]; then
            deb-systemd-invoke start "birthmark-$daemon.socket" >/dev/null || true
            # The socket keeps listening meanwhile, so nobody is refused.
            deb-systemd-invoke restart "birthmark-$daemon.service" >/dev/null || true
        fi
    done
fi
