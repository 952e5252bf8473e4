# Three machines, each with its own task: a photo's proof goes from the camera's chip to the validator's block, and the
# authority never learns which photo it was.

start_all()

with subtest("three machines are founded"):
    begin(camera, authority, validator)

with subtest("a photo gets its receipt"):
    photo = take_photo(camera)
    t.assertEqual(photo["key_store"], "tpm")
    wait_for_receipt(camera, photo)
    validator.succeed(f"birthmark verify {photo['file']} 2>&1")

with subtest("the authority has seen no digest of the photo"):
    everything = "cat /var/lib/birthmark-sma/* | od -An -v -w32 -tx1 | tr -d ' '"
    # The search itself works: it finds what every SQLite file begins with.
    authority.succeed(f"{everything} | tr -d '\\n' | grep -c 53514c697465 > /dev/null")
    for digest in (photo["raw"], photo["file"], photo["image_data"]):
        assert_absent(authority, "journalctl --no-pager -o export", digest)
        assert_absent(authority, "cat /var/lib/birthmark-sma/*", digest)
        assert_absent(authority, f"{everything} | tr -d '\\n'; echo", digest)

with subtest("the camera is reachable from nowhere"):
    # The probe finds who does listen, and the name is the camera's.
    authority.succeed("nc -z -w 5 validator 8545", "getent hosts camera")
    authority.fail("for port in 22 445 8001 8545; do nc -z -w 5 camera $port && exit 0; done; exit 1")
