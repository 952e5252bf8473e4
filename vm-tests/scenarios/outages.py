# What breaks in the field: the network, the authority, the power. No photo that was reported is ever lost, and none is
# registered twice.

start_all()
begin(camera, authority, validator)

with subtest("without a network the camera goes on, and catches up"):
    camera.block()
    offline = [take_photo(camera) for _ in range(2)]
    camera.unblock()
    for photo in offline:
        wait_for_receipt(camera, photo)

with subtest("an authority that is down rejects nothing: the photo waits"):
    authority.succeed("systemctl stop birthmark-sma.socket birthmark-sma.service")
    waiting = take_photo(camera)
    validator.wait_until_succeeds("curl -s http://127.0.0.1:8545/api/v1/status | jq -e '.pending_submissions >= 1'")
    validator.wait_until_succeeds("journalctl -q -o cat -u birthmark-node AUTHORITY=TEST-MANUFACTURER -p warning | grep wait", 300)
    authority.succeed("systemctl start birthmark-sma.socket birthmark-sma.service")
    wait_for_receipt(camera, waiting)

with subtest("the power is cut right after the shutter reports"):
    camera.block()
    last = take_photo(camera)
    camera.crash()
    camera.start()
    camera.wait_for_unit("birthmark-capture.service")
    camera.succeed(f"test $(sha256sum {last['path']} | cut -c1-64) = {last['file']}")
    wait_for_receipt(camera, last)

with subtest("the validator loses power and forgets nothing"):
    validator.crash()
    validator.start()
    validator.wait_for_unit("birthmark-node.service")
    for photo in (*offline, waiting, last):
        digest_is_known(validator, photo)
