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
    for digest in (photo["raw"], photo["file"], photo["image_data"]):
        authority.fail(f"journalctl --no-pager -o export | grep -qi {digest}")
        authority.fail(f"cat /var/lib/birthmark-sma/* | xxd -p | tr -d '\\n' | grep -qi {digest}")
        authority.fail(f"cat /var/lib/birthmark-sma/* | grep -aqi {digest}")

with subtest("the camera is reachable from nowhere"):
    authority.fail("nc -z -w 5 camera 22 || nc -z -w 5 camera 8545 || nc -z -w 5 camera 8001")
