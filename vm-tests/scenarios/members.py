# Four validators of one registry, as four instances in one machine. One is lost for good, with its disk and its keys: the
# others go on, agree on its successor as docs/NETWORK.md says, and that one decides with them.

NAMES = ("one", "two", "three", "four")


def draw_keys(name):
    """New keys of a validator, as credentials of its instance. What the others must know of them is in /root/NAME.toml."""
    trial.succeed(
        f"rm -rf /root/{name}; birthmark-node keys /root/{name} --name {name}.test > /root/{name}.toml",
        *(
            f"install -m 0600 /root/{name}/{key} /etc/credstore/birthmark-node.{name}.{key}"
            for key in ("vote-key", "checkpoint-key", "lookup-key")
        ),
    )


def settle():
    """Each instance's settings: the machine's own, in folders and on ports of its own, and the others by what they print."""
    identities = {
        name: trial.succeed(f"CREDENTIALS_DIRECTORY=/root/{name} birthmark-node identity").strip() for name in NAMES
    }
    for place, name in enumerate(NAMES):
        # The camera knows the usual port, which is the first one's.
        text = f'[http]\nlisten = "127.0.0.1:{8545 + place}"\n[network]\nlisten = "127.0.0.1:{9545 + place}"\n'
        for other, peer in enumerate(NAMES):
            if peer != name:
                address = f"127.0.0.1:{9545 + other}"
                text += f'[[network.peers]]\nname = "{peer}.test"\naddress = "{address}"\nidentity = "{identities[peer]}"\n'
        another_validator(trial, name, text)


def as_validator(name, command):
    """One of the operator's commands, with the vote key of that instance among its credentials."""
    return trial.succeed(
        f"CREDENTIALS_DIRECTORY=/root/{name} birthmark-node --config /etc/birthmark/node-{name}.toml members {command}"
    )


def status(name):
    port = 8545 + NAMES.index(name)
    return json.loads(trial.succeed(f"curl --silent --fail --max-time 60 http://127.0.0.1:{port}/api/v1/status"))


trial.start()

with subtest("four validators found one registry"):
    found_authority(trial)
    for name in ("intermediate.pem", "verdict-key.pem"):
        trial.succeed(f"install -m 0644 /var/lib/birthmark-sma/{name} /etc/birthmark/")
    trial.succeed("systemctl stop birthmark-node.socket birthmark-node.service")
    for name in NAMES:
        draw_keys(name)
    entries = " ".join(f"/root/{name}.toml" for name in NAMES)
    trial.succeed(
        f"birthmark-node genesis /etc/birthmark/genesis.toml --chain-id test.example/registry --rehearsal --validator {entries}"
    )
    settle()
    for name in NAMES:
        trial.succeed(f"systemctl start birthmark-node@{name}.service")
    trial.wait_until_succeeds(
        "curl --silent --fail http://127.0.0.1:8545/api/v1/status | jq --exit-status '[.members[].is_linked] == [true, true, true]'", 120
    )
    enrol(trial, trial)
    trial.succeed("systemctl start birthmark-capture.socket birthmark-capture.service")
    photo = take_photo(trial)
    wait_for_receipt(trial, photo)
    trial.succeed(f"birthmark verify {photo['path']} 2>&1")

with subtest("one is lost, and the others go on"):
    trial.succeed(
        "systemctl kill --signal=KILL birthmark-node@four.service; systemctl stop birthmark-node@four.service",
        "rm -r /var/lib/birthmark-node-four /var/lib/birthmark-guard-four /root/four /etc/credstore/birthmark-node.four.*",
    )
    wait_for_receipt(trial, take_photo(trial))

with subtest("its successor follows, and has everything"):
    draw_keys("four")
    settle()
    # One after another: three of the four decide, and one is lost.
    for name in NAMES:
        trial.succeed(f"systemctl restart birthmark-node@{name}.service")
        trial.wait_for_unit(f"birthmark-node@{name}.service")
    height = status("one")["block_height"]
    t.assertGreaterEqual(height, 2)
    trial.wait_until_succeeds(
        f"curl --silent --fail http://127.0.0.1:8548/api/v1/status | jq --exit-status '.block_height >= {height}'", 120
    )
    trial.succeed(f"birthmark verify --node http://127.0.0.1:8548 {photo['path']} 2>&1")

with subtest("who is left decides who takes the place"):
    as_validator("one", "propose /root/change.toml --replace four.test /root/four.toml")
    shown = as_validator("one", "show /root/change.toml")
    code = shown.split()[-1]
    for name in ("one", "two", "three"):
        as_validator(name, f"sign /root/change.toml --shown {code}")
    as_validator("one", "submit /root/change.toml")
    key = trial.succeed("grep -o 'vote_key = .*' /root/four.toml").strip()
    trial.wait_until_succeeds(
        "birthmark-node --config /etc/birthmark/node-one.toml members list > /tmp/members; "
        f"grep -F \"$(echo '{key}' | cut -d'\"' -f2)\" /tmp/members",
        120,
    )

with subtest("the successor decides with them"):
    # Three of the four are needed: without the one that stops now, one of them is the new one.
    trial.succeed("systemctl stop birthmark-node@three.service")
    last = take_photo(trial)
    wait_for_receipt(trial, last)
    trial.succeed(f"birthmark verify {last['path']} 2>&1")
