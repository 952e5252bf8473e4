# The disk of a validator dies. What comes back is what the backup had, and the receipts still hold.

trial.start()
begin(trial, trial, trial)
photo = take_photo(trial)
wait_for_receipt(trial, photo)

with subtest("a copy is made while the validator works"):
    trial.succeed(
        "install -d -o birthmark-node /backup", "runuser -u birthmark-node -- birthmark-node backup /backup/node.db"
    )

# The disk dies.
trial.succeed("systemctl stop birthmark-node.socket birthmark-node.service", "rm -r /var/lib/birthmark-node/*")

with subtest("the copy takes its place"):
    trial.succeed(
        "runuser -u birthmark-node -- birthmark-node restore /backup/node.db",
        "runuser -u birthmark-node -- birthmark-node fsck",
        "systemctl start birthmark-node.socket birthmark-node.service",
    )
    trial.wait_for_unit("birthmark-node.service")
    digest_is_known(trial, photo)

with subtest("the registry goes on from there"):
    wait_for_receipt(trial, take_photo(trial))
