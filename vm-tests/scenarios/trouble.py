# What goes wrong before a daemon can work: each unit says in one line what is wrong and what to do, and `systemctl status` shows it.


def told(unit, words):
    """`unit` ends with one line of complaint of its own, in which stand `words`, and its status shows that line."""
    trial.succeed(f"systemctl restart --no-block {unit}")
    trial.wait_until_succeeds(f"journalctl --no-pager -o cat -p err -n 1 _SYSTEMD_UNIT={unit} | grep -F '{words}'", 180)
    # A unit that is tried again shows nothing while it starts.
    trial.wait_until_succeeds(f"{{ systemctl status --no-pager --full --lines=20 {unit} || true; }} | grep -F '{words}'", 180)
    run = trial.succeed(f"journalctl -o json -p err -n 1 _SYSTEMD_UNIT={unit} | jq -r ._SYSTEMD_INVOCATION_ID").strip()
    lines = trial.succeed(f"journalctl --no-pager -o cat -p err _SYSTEMD_INVOCATION_ID={run}").strip().splitlines()
    t.assertEqual(len(lines), 1, lines)


def needs_a_person(unit):
    """`unit` says that trying again by itself is of no use. Whoever knocks at its socket starts it all the same, so it may be just at it."""
    trial.wait_until_succeeds(f"test $(systemctl show --value --property=ExecMainStatus {unit}) = 78", 180)


def works_again(unit):
    trial.succeed(f"systemctl reset-failed {unit} || true; systemctl restart {unit}")
    trial.wait_for_unit(unit)


trial.start()

with subtest("one machine, in order"):
    found_authority(trial)
    found_validator(trial, trial)

with subtest("a secret that is not there"):
    trial.succeed("mv /etc/credstore/birthmark-sma.authority-vault /root/")
    told("birthmark-sma.service", "credential `authority-vault` is missing")
    needs_a_person("birthmark-sma.service")
    trial.succeed("mv /root/birthmark-sma.authority-vault /etc/credstore/")
    works_again("birthmark-sma.service")

with subtest("two daemons on one port"):
    trial.succeed(
        "install -m 0600 /etc/credstore/birthmark-node.vote-key /etc/credstore/birthmark-node.two.vote-key",
        "install -m 0600 /etc/credstore/birthmark-node.checkpoint-key /etc/credstore/birthmark-node.two.checkpoint-key",
        "install -m 0600 /etc/credstore/birthmark-node.lookup-key /etc/credstore/birthmark-node.two.lookup-key",
    )
    another_validator(trial, "two", '[http]\nlisten = "127.0.0.1:8545"')
    told("birthmark-node@two.service", "cannot listen on 127.0.0.1:8545")
    trial.succeed("systemctl stop birthmark-node@two.service")
    trial.require_unit_state("birthmark-node.service")
    # And with a stranger on the port, the socket says so; the daemon is not even tried.
    trial.succeed(
        "systemctl stop birthmark-sma.socket birthmark-sma.service",
        "systemd-run --quiet --unit=stranger nc -l -k 127.0.0.1 8001",
    )
    trial.wait_until_succeeds("nc -z 127.0.0.1 8001")
    trial.fail("systemctl start birthmark-sma.socket")
    # systemd's helper says it, and the status of a socket shows what systemd itself says only.
    trial.wait_until_succeeds("journalctl --no-pager -b -g 'birthmark-sma.socket: .*listening socket .127.0.0.1:8001.: Address already in use'")
    trial.wait_until_succeeds("{ systemctl status --no-pager birthmark-sma.socket || true; } | grep 'Failed to listen on sockets'")
    trial.succeed("systemctl stop stranger.service", "systemctl reset-failed birthmark-sma.socket")
    works_again("birthmark-sma.service")

with subtest("files of the state folder that belong to somebody else"):
    trial.succeed("systemctl stop birthmark-node.service", "chown root /var/lib/birthmark-node/node.db*")
    told("birthmark-node.service", "cannot open the database /var/lib/birthmark-node/node.db: its folder and files must belong to")
    trial.succeed("chown birthmark-node /var/lib/birthmark-node/node.db*")
    works_again("birthmark-node.service")

with subtest("a folder that belongs to somebody else is given back by systemd"):
    trial.succeed("systemctl stop birthmark-node.service", "chown -R root:root /var/lib/birthmark-node")
    works_again("birthmark-node.service")
    trial.succeed("test $(stat -c %U /var/lib/birthmark-node/node.db) = birthmark-node")

with subtest("a database that is none"):
    trial.succeed(
        "systemctl stop birthmark-node.service",
        "install -d /root/aside && mv /var/lib/birthmark-node/node.db* /root/aside/",
        "head -c 65536 /dev/urandom > /var/lib/birthmark-node/node.db && chown birthmark-node /var/lib/birthmark-node/node.db",
    )
    told("birthmark-node.service", "node.db: it is damaged or no database; restore the last backup")
    trial.succeed("systemctl stop birthmark-node.service", "rm /var/lib/birthmark-node/node.db*")
    trial.succeed("cp -p /root/aside/* /var/lib/birthmark-node/")
    works_again("birthmark-node.service")

with subtest("a disk without room"):
    trial.succeed(
        "systemctl stop birthmark-node.service",
        "size=$(du -sb /var/lib/birthmark-node | cut -f1); mount -t tmpfs -o size=$((size / 4096 * 4096 + 32768)) none /mnt",
        "cp -a /var/lib/birthmark-node/. /mnt/; dd if=/dev/zero of=/mnt/filler bs=4096 2> /dev/null || true",
        "mount --bind /mnt /var/lib/birthmark-node",
    )
    told("birthmark-node.service", "full")
    trial.succeed("systemctl stop birthmark-node.service", "umount /var/lib/birthmark-node /mnt")
    works_again("birthmark-node.service")

with subtest("a card without room"):
    # The camera stays: what waits is sent and photos can be fetched, which makes room.
    works_again("birthmark-capture.service")
    trial.succeed(
        "systemctl stop birthmark-capture.socket birthmark-capture.service",
        "mount -t tmpfs -o size=64M none /var/lib/birthmark-photos",
    )
    told("birthmark-capture.service", "MiB are free for photos, 256 must be: no photo is taken until some are fetched and removed")
    trial.require_unit_state("birthmark-capture.service")
    trial.succeed(
        "systemctl stop birthmark-capture.socket birthmark-capture.service", "umount /var/lib/birthmark-photos"
    )
    works_again("birthmark-capture.service")

with subtest("a clock that was never set"):
    trial.succeed("echo $(date +%s) $(cut -d. -f1 /proc/uptime) > /tmp/clock", "date --set 2020-01-01")
    told("birthmark-node.service", "minutes behind the newest block: set it")
    trial.succeed("read then up < /tmp/clock; date --set @$((then + $(cut -d. -f1 /proc/uptime) - up))")
    works_again("birthmark-node.service")

with subtest("a setting with a mistake"):
    # On NixOS a system with such a file is not even built.
    if trial.execute("test -e /etc/debian_version")[0] == 0:
        trial.succeed("cp /etc/birthmark/node.toml /root/; sed 's/^database/datadase/' /root/node.toml > /etc/birthmark/node.toml")
        told("birthmark-node.service", "/etc/birthmark/node.toml:1:1: `datadase`: unknown field")
        needs_a_person("birthmark-node.service")
        trial.succeed("cp /root/node.toml /etc/birthmark/")
        works_again("birthmark-node.service")

with subtest("no chip"):
    trial.succeed("chip=$(readlink -f /sys/class/tpm/tpm0/device); echo ${chip##*/} > $chip/driver/unbind")
    trial.fail("test -e /dev/tpmrm0")
    told("birthmark-signer.service", "no TPM answers at device:/dev/tpmrm0")
