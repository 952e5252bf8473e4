# What several scenarios begin with: an institution's and a manufacturer's first day, and a camera's. These are the commands
# of docs/OPERATING.md and docs/CAMERA.md.

import json


def call(machine, socket, method, parameters="{}"):
    """One Varlink call, as the machine's root."""
    answer = machine.succeed(f"varlinkctl call --timeout=600 --json=short /run/birthmark/{socket} {method} '{parameters}'")
    return json.loads(answer)


def assert_absent(machine, source, text):
    """What `source` prints does not contain `text`. A source that cannot be read at all would prove nothing: it must print something."""
    # In a file of its own, or the search would find itself among the processes.
    machine.succeed(f"printf '%s\\n' '{text}' > /tmp/wanted")
    lines, found = machine.succeed(
        f"{{ {source} || true; }} > /tmp/searched; wc -l < /tmp/searched; grep -aicF -f /tmp/wanted /tmp/searched || true"
    ).split()
    assert int(lines) > 0, f"{source} printed nothing"
    assert int(found) == 0, f"{source} contains {text}"


def found_authority(authority):
    authority.succeed(
        "install -d -m 0700 /etc/credstore",
        "umask 077; head -c 32 /dev/urandom | base64 -w 0 > /etc/credstore/birthmark-sma.authority-vault",
        "umask 077; head -c 32 /dev/urandom | base64 -w 0 > /root/root-passphrase",
        "systemctl stop birthmark-sma.service",
        "systemd-run --quiet --wait --pipe --collect -p User=birthmark-sma -p StateDirectory=birthmark-sma"
        " -p LoadCredential=authority-vault:/etc/credstore/birthmark-sma.authority-vault"
        " -p LoadCredential=root-passphrase:/root/root-passphrase"
        " birthmark-sma --config /etc/birthmark/sma.toml init --root-key /var/lib/birthmark-sma/root-key.pem 2>&1",
        "systemctl start birthmark-sma.socket birthmark-sma.service",
    )
    authority.wait_for_unit("birthmark-sma.service")


def public_file(authority, name):
    return authority.succeed(f"cat /var/lib/birthmark-sma/{name}")


def found_validator(validator, authority):
    """Keys of its own, a registry that begins with it, and the authority's public keys."""
    for name in ("intermediate.pem", "verdict-key.pem"):
        text = public_file(authority, name)
        validator.succeed(f"printf '%s' '{text}' > /etc/birthmark/{name}")
    validator.succeed(
        "systemctl stop birthmark-node.service",
        "install -d -m 0700 /etc/credstore",
        "birthmark-node keys /root/keys --name validator.test > /root/validator.toml",
        "install -m 0600 /root/keys/vote-key /etc/credstore/birthmark-node.vote-key",
        "install -m 0600 /root/keys/checkpoint-key /etc/credstore/birthmark-node.checkpoint-key",
        "install -m 0600 /root/keys/lookup-key /etc/credstore/birthmark-node.lookup-key",
        "birthmark-node genesis /etc/birthmark/genesis.toml --chain-id test.example/registry --rehearsal --validator /root/validator.toml",
        "systemctl start birthmark-node.socket birthmark-node.service",
    )
    validator.wait_for_unit("birthmark-node.service")


def another_validator(machine, name, settings):
    """The settings of birthmark-node@NAME: those of the machine's own validator, in folders of its own, and `settings`."""
    machine.succeed(
        "{ echo 'signed_heights = \"/var/lib/birthmark-guard-NAME/node.signed\"';"
        " sed '/^signed_heights /d; s,/var/lib/birthmark-node/,/var/lib/birthmark-node-NAME/,' /etc/birthmark/node.toml;"
        " cat; } > /etc/birthmark/node-NAME.toml".replace("NAME", name)
        + f" <<'END'\n{settings}\nEND"
    )


def enrol(camera, authority):
    """The key is made in the chip; the authority certifies it; the answer is sealed in the chip."""
    key = call(camera, "signer", "org.birthmark.Signer.Enrol", '{"again":false}')
    assert key["key_store"] == "tpm", key
    request = json.dumps(
        {"device_serial": "TEST-0001", "device_family": "Raspberry Pi HQ", "device_public_key": key["public_key"]}
    )
    answer = authority.succeed(
        f"curl --silent --show-error --fail-with-body --unix-socket /run/birthmark-sma/control.sock"
        f" --json '{request}' http://authority/api/v1/devices/provision"
    )
    camera.succeed(f"umask 077; cat > /root/provisioning.json <<'END'\n{answer}\nEND")
    camera.succeed(
        "varlinkctl call /run/birthmark/signer org.birthmark.Signer.Provision"
        " \"$(jq --compact-output --raw-input --slurp '{provisioning: .}' /root/provisioning.json)\"",
        "rm /root/provisioning.json",
    )


def take_photo(camera):
    return call(camera, "capture", "org.birthmark.Capture.Capture")


def wait_for_receipt(camera, photo):
    camera.wait_for_file(photo["path"] + ".birthmark", 300)


DAEMONS = ("signer", "gps", "capture", "sma", "node")


def begin(camera, authority, validator):
    """Everything up to a camera that can take its first photo."""
    found_authority(authority)
    found_validator(validator, authority)
    enrol(camera, authority)
    camera.succeed("systemctl start birthmark-capture.socket birthmark-capture.service")
    camera.wait_for_unit("birthmark-capture.service")


def digest_is_known(machine, photo):
    machine.succeed(f"birthmark verify {photo['file']} 2>&1")


def ask_on_and_on(machine, port):
    """Somebody asks the daemon on that port again and again, each time on a new connection."""
    machine.succeed(
        "systemctl stop asking.service 2> /dev/null || true; rm -f /tmp/answers",
        # A unit on NixOS finds no program by its name unless it is told where: systemd's own PATH is nearly empty there.
        "systemd-run --quiet --collect --unit=asking --setenv=PATH=\"$PATH\" bash -c 'while sleep 0.5; do"
        f" curl --silent --fail --max-time 120 http://127.0.0.1:{port}/health > /dev/null && echo good || echo REFUSED;"
        " done > /tmp/answers'"
    )
    machine.wait_until_succeeds("grep good /tmp/answers", 60)


def nobody_was_refused(machine):
    """All who asked were answered, and somebody asked after the restart too."""
    machine.succeed("wc -l < /tmp/answers > /tmp/before")
    machine.wait_until_succeeds("test $(wc -l < /tmp/answers) -gt $(($(cat /tmp/before) + 1))", 120)
    machine.succeed("systemctl stop asking.service")
    machine.fail("grep REFUSED /tmp/answers")
