# One machine with everything: from installed packages to a photo that anyone can check, and what the units promise.

trial.start()

with subtest("what is missing is said in one line, and is not tried again"):
    trial.execute("systemctl start birthmark-node.service")
    trial.wait_until_succeeds("journalctl -u birthmark-node | grep 'credential `vote-key` is missing'")
    trial.wait_until_succeeds("systemctl is-failed birthmark-node.service")
    t.assertEqual(trial.get_unit_property("birthmark-node.service", "ExecMainStatus"), "78")
    trial.succeed("journalctl -x -u birthmark-node | grep 'takes secrets from systemd credentials only'")

with subtest("the authority and the validator are founded"):
    found_authority(trial)
    found_validator(trial, trial)

with subtest("the camera's key is made in its chip"):
    enrol(trial, trial)

with subtest("a photo gets its receipt, and both check"):
    trial.succeed("systemctl start birthmark-capture.socket birthmark-capture.service")
    photo = take_photo(trial)
    t.assertEqual(photo["key_store"], "tpm")
    wait_for_receipt(trial, photo)
    trial.succeed(f"birthmark verify {photo['path']} 2>&1")
    receipt = photo["path"] + ".birthmark"
    trial.succeed(f"birthmark receipt show {receipt} --genesis /etc/birthmark/genesis.toml --photo {photo['path']} 2>&1")

with subtest("a changed photo is not the photo"):
    trial.succeed(f"cp {photo['path']} /tmp/changed.jpg", "printf x >> /tmp/changed.jpg")
    trial.fail("birthmark verify $(sha256sum /tmp/changed.jpg | cut -c1-64) 2>&1")

with subtest("a forged proof is refused"):
    # A photo that no camera took, with the certificate of one that did, signed with another key.
    sidecar = photo["path"].replace(".jpg", ".json")
    trial.succeed(
        "openssl ecparam -name prime256v1 -genkey -noout -out /tmp/forger.pem",
        "openssl dgst -sha256 -sign /tmp/forger.pem /tmp/changed.jpg | base64 -w 0 > /tmp/signature",
        "jq --arg hash $(sha256sum /tmp/changed.jpg | cut -c1-64) --arg signature $(cat /tmp/signature) '{image_hash: $hash,"
        f" camera_cert, timestamp, gps_hash: null, bundle_signature: $signature}}' {sidecar} > /tmp/forged.json",
    )
    told = trial.succeed("curl --silent --show-error --json @/tmp/forged.json http://127.0.0.1:8545/api/v1/submit-cert")
    t.assertIn("signature", told)
    trial.fail("birthmark verify $(sha256sum /tmp/changed.jpg | cut -c1-64) 2>&1")

with subtest("every daemon is confined"):
    for daemon in DAEMONS:
        trial.succeed(f"systemd-analyze security --no-pager --threshold=15 birthmark-{daemon}.service > /dev/null")
    everything = " ".join(f"birthmark-{daemon}.service birthmark-{daemon}.socket" for daemon in DAEMONS)
    trial.succeed(f"systemd-analyze verify --man=no {everything} 2>&1")

with subtest("each runs as its own user, and only the signer has the chip"):
    for daemon in ("capture", "sma", "node"):
        pid = trial.get_unit_property(f"birthmark-{daemon}.service", "MainPID")
        trial.succeed(f"test $(stat -c %U /proc/{pid}) = birthmark-{daemon}")
    trial.fail("runuser -u birthmark-capture -- test -r /dev/tpmrm0")

with subtest("strangers are not let in"):
    refused = trial.fail("runuser -u nobody -- varlinkctl call /run/birthmark/signer org.birthmark.Signer.Status '{}' 2>&1")
    t.assertIn("denied", refused)
    refused = trial.fail(
        "runuser -u birthmark-capture -- varlinkctl call /run/birthmark/signer org.birthmark.Signer.Enrol '{\"again\":true}' 2>&1"
    )
    t.assertIn("NotAllowed", refused)
    # Somebody of the group that may knock, whom the camera does not know.
    refused = trial.fail(
        "setpriv --reuid=nobody --regid=nogroup --groups=birthmark varlinkctl call /run/birthmark/capture"
        " org.birthmark.Capture.Capture '{}' 2>&1"
    )
    t.assertIn("PermissionDenied", refused)

with subtest("the network sees nothing until someone decides so"):
    listening = trial.succeed("ss --no-header --listening --tcp --numeric | awk '{print $4}'").split()
    for address in listening:
        t.assertTrue(address.startswith(("127.", "[::1]")), f"{address} is open to the network")

with subtest("a key can be bound to the machine's chip"):
    trial.succeed(
        "install -d -m 0700 /etc/credstore.encrypted",
        "systemd-creds encrypt --with-key=host+tpm2 --name=vote-key /etc/credstore/birthmark-node.vote-key"
        " /etc/credstore.encrypted/birthmark-node.vote-key",
        "rm /etc/credstore/birthmark-node.vote-key",
        "systemctl restart birthmark-node.service",
    )
    trial.wait_for_unit("birthmark-node.service")
    # The chip is needed, not only the disk.
    opened = (
        "systemd-run --quiet --wait --pipe --collect {} systemd-creds decrypt --name=vote-key"
        " /etc/credstore.encrypted/birthmark-node.vote-key - 2>&1 | grep -q 'PRIVATE KEY'"
    )
    trial.succeed(opened.format(""))
    trial.fail(opened.format("-p PrivateDevices=yes"))

with subtest("a restart of a server refuses nobody"):
    for daemon, port in (("node", 8545), ("sma", 8001)):
        ask_on_and_on(trial, port)
        before = trial.get_unit_property(f"birthmark-{daemon}.service", "MainPID")
        trial.succeed(f"systemctl restart birthmark-{daemon}.service")
        t.assertNotEqual(before, trial.get_unit_property(f"birthmark-{daemon}.service", "MainPID"))
        nobody_was_refused(trial)

with subtest("the signer leaves when idle, and is there when called"):
    trial.wait_until_succeeds("test $(systemctl is-active birthmark-signer.service) = inactive", 180)
    photo = take_photo(trial)
    trial.require_unit_state("birthmark-signer.service")
    wait_for_receipt(trial, photo)

with subtest("the journal has the fields that are promised"):
    # The journal names a photo as its folder of photos does.
    day_and_name = "/".join(photo["path"].split("/")[-2:])
    for fields in (
        f"-u birthmark-capture PHOTO={day_and_name}",
        "-u birthmark-node BLOCK_HEIGHT=1",
        "-u birthmark-node VERSION=$(birthmark-node --version | cut -d' ' -f2)",
        "MESSAGE_ID=a91e504ed79b4c288209693c842defb9",
        "-u birthmark-node MESSAGE_ID=e09b27cb90594c7c945cc303c5ac9c70 SUBMISSIONS=1",
        # Whom the strangers' doors above were closed to.
        "-u birthmark-signer PEER_UID=$(id -u birthmark-capture)",
        "-u birthmark-capture PEER_UID=$(id -u nobody)",
    ):
        trial.succeed(f"test -n \"$(journalctl --no-pager -q -o cat {fields})\"")
    # Nothing odd happened to a validator that was set up as the documents say.
    trial.fail("journalctl -q -o cat -u birthmark-node -p warning | grep revoked")
    shown = trial.succeed("journalctl -q -o json -u birthmark-capture -u birthmark-node --output-fields=MILLISECONDS,RECORDS,WAITING")
    for field in ("MILLISECONDS", "RECORDS", "WAITING"):
        t.assertIn(f'"{field}"', shown)

with subtest("no secret is in the journal or in a process's arguments"):
    vault = trial.succeed("cat /etc/credstore/birthmark-sma.authority-vault")
    for secret in (vault, "PRIVATE KEY"):
        assert_absent(trial, "journalctl --no-pager -o export", secret)
        assert_absent(trial, "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' '\\n'", secret)
