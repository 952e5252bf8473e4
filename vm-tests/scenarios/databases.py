# The same photo with PostgreSQL behind the validator and the authority: over the local socket, without a password.

archive.start()

with subtest("both are founded on PostgreSQL"):
    begin(archive, archive, archive)
    tables = archive.succeed("runuser -u postgres -- psql -At birthmark-node -c 'select count(*) from pg_tables'")
    t.assertGreater(int(tables), 60)

with subtest("a photo gets its receipt"):
    photo = take_photo(archive)
    wait_for_receipt(archive, photo)
    digest_is_known(archive, photo)

with subtest("no other user gets in"):
    archive.fail("runuser -u birthmark-sma -- psql -h /run/postgresql -U birthmark-node birthmark-node -c 'select 1'")

with subtest("the database goes away and comes back"):
    archive.succeed("systemctl restart postgresql.service")
    archive.wait_until_succeeds("curl --silent --fail http://127.0.0.1:8545/health", 120)
    digest_is_known(archive, photo)
