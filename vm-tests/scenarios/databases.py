# The same photo with PostgreSQL behind the validator and the authority: over the local socket, without a password.

archive.start()

with subtest("both are founded on PostgreSQL"):
    begin(archive, archive, archive)
    for name, table in (("birthmark-node", "blocks"), ("birthmark-sma", "devices")):
        tables = archive.succeed(
            f"runuser -u postgres -- psql -At {name} -c \"select tablename from pg_tables where schemaname = 'public'\""
        )
        t.assertIn(table, tables.split())
    archive.fail("find /var/lib/birthmark-node /var/lib/birthmark-sma -name '*.db' | grep .")

with subtest("a photo gets its receipt"):
    photo = take_photo(archive)
    wait_for_receipt(archive, photo)
    digest_is_known(archive, photo)

with subtest("no other user gets in"):
    archive.fail("runuser -u birthmark-sma -- psql -h /run/postgresql -U birthmark-node birthmark-node -c 'select 1'")

with subtest("the database goes away and comes back"):
    archive.succeed("systemctl stop postgresql.service")
    archive.wait_until_succeeds(
        "journalctl -q -o cat -u birthmark-node MESSAGE_ID=48c13934bd0e424d8301a3624a313b85 | grep 'the database did not answer'", 300
    )
    archive.fail("curl --silent --fail --max-time 20 http://127.0.0.1:8545/health")
    waiting = take_photo(archive)
    archive.succeed("systemctl start postgresql.service")
    archive.wait_until_succeeds("curl --silent --fail --max-time 60 http://127.0.0.1:8545/health", 300)
    digest_is_known(archive, photo)
    wait_for_receipt(archive, waiting)
