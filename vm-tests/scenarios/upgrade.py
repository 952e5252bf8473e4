# A newer version is installed under a running validator: what was registered stays, and nobody who asks meanwhile is refused.


def versions(machine):
    return machine.succeed("sqlite3 /var/lib/birthmark-node/node.db 'select version from _sqlx_migrations order by 1'").split()


trial.start()
begin(trial, trial, trial)
photo = take_photo(trial)
wait_for_receipt(trial, photo)
schema = versions(trial)

with subtest("the upgrade refuses nobody"):
    ask_on_and_on(trial, 8545)
    before = trial.get_unit_property("birthmark-node.service", "MainPID")
    if trial.execute("test -e /etc/debian_version")[0] == 0:
        trial.succeed("DEBIAN_FRONTEND=noninteractive dpkg -i /packages/next/*.deb 2>&1", timeout=3000)
    else:
        trial.succeed("/run/current-system/specialisation/next/bin/switch-to-configuration test 2>&1")
    trial.wait_for_unit("birthmark-node.service")
    t.assertNotEqual(before, trial.get_unit_property("birthmark-node.service", "MainPID"))
    nobody_was_refused(trial)

with subtest("what was registered before is there after, in a database of the newer version"):
    digest_is_known(trial, photo)
    trial.succeed("runuser -u birthmark-node -- birthmark-node fsck")
    print("the database's versions:", schema, "before,", versions(trial), "after")
    t.assertLessEqual(set(schema), set(versions(trial)))

with subtest("the camera takes photos with the newer version"):
    newer = take_photo(trial)
    wait_for_receipt(trial, newer)

with subtest("removing keeps the records, purging ends them, and photos stay"):
    # NixOS removes no state.
    if trial.execute("test -e /etc/debian_version")[0] == 0:
        trial.succeed("dpkg --remove birthmark-validator birthmark-authority birthmark-camera 2>&1")
        trial.succeed("test -e /var/lib/birthmark-node/node.db && test -e /etc/birthmark/node.toml")
        trial.fail("systemctl is-active birthmark-node.service birthmark-node.socket")
        trial.succeed("dpkg --purge birthmark-validator birthmark-authority birthmark-camera 2>&1")
        trial.fail("test -e /var/lib/birthmark-node || test -e /etc/birthmark/node.toml")
        trial.succeed(f"test -e {newer['path']}")
