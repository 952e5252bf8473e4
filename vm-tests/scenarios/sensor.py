# A photo through the kernel: raw samples from a video device, signed by the chip behind /dev/tpmrm0. The device is the kernel's
# own test driver (vivid), which delivers Bayer samples of a picture that stands still.


def plug_in(pattern=0):
    sensor.succeed(
        "modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0x0 vid_cap_nr=0",
        "udevadm settle",
        f"v4l2-ctl --device /dev/video0 --set-ctrl test_pattern={pattern},osd_text_mode=2",
    )


sensor.start()

with subtest("the camera finds its sensor and its chip"):
    plug_in()
    sensor.succeed("v4l2-ctl --device /dev/video0 --list-formats | grep RG12", "test -c /dev/tpmrm0")
    begin(sensor, sensor, sensor)

with subtest("the camera that ships photographs neither paintings nor files"):
    for source in ('kind = \"simulated\"\\nsensor = 7', 'kind = \"dng\"\\nfolder = \"/tmp\"'):
        sensor.succeed(f"printf '[source]\\n{source}\\n' > /tmp/capture.toml")
        status, said = sensor.execute("birthmark-capture --config /tmp/capture.toml check-config 2>&1")
        t.assertEqual(status, 78, said)
        t.assertIn("from a sensor only", said)

with subtest("a photo of it gets its receipt"):
    photo = take_photo(sensor)
    t.assertEqual(photo["key_store"], "tpm")
    wait_for_receipt(sensor, photo)
    sensor.succeed(f"birthmark verify {photo['path']} 2>&1")
    sensor.succeed(f"birthmark verify {photo['path'].replace('.jpg', '.dng')} 2>&1")

with subtest("the digest is that of the samples the sensor gave"):
    # Somebody else takes the same frame, packs its samples two in three bytes, and hashes them.
    sensor.succeed(
        "systemctl stop birthmark-capture.socket birthmark-capture.service",
        "v4l2-ctl --device /dev/video0 --set-fmt-video=width=3840,height=2160,pixelformat=RG12"
        " --stream-mmap --stream-skip=2 --stream-count=1 --stream-to=/tmp/frame > /dev/null",
        "test $(stat -c %s /tmp/frame) = $((3840 * 2160 * 2))",
    )
    theirs = sensor.succeed(
        "perl -e '$/ = \\15360; while (<>) { @s = unpack \"v*\"; print pack \"C*\", map"
        " { ($s[$_] >> 4, $s[$_ + 1] >> 4, ($s[$_ + 1] & 15) << 4 | $s[$_] & 15) } map { 2 * $_ } 0 .. @s / 2 - 1 }'"
        " /tmp/frame | sha256sum | cut -c1-64"
    )
    t.assertEqual(theirs.strip(), photo["raw"])
    sensor.succeed("systemctl start birthmark-capture.socket birthmark-capture.service")

with subtest("a sensor that is pulled out is said, and comes back"):
    take_photo(sensor)
    sensor.succeed("v4l2-ctl --device /dev/video0 --set-ctrl disconnect=1")
    refused = sensor.fail(
        "varlinkctl call --timeout=120 --json=short /run/birthmark/capture org.birthmark.Capture.Capture '{}' 2>&1"
    )
    t.assertIn("camera", refused)
    sensor.wait_until_succeeds("modprobe -r vivid", 120)
    # Of something else: the registry takes one photo of a frame, and no real sensor gives the same twice.
    plug_in(pattern=1)
    wait_for_receipt(sensor, take_photo(sensor))
