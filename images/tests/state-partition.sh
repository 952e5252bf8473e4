# state-partition SCRIPT: the first boots of a card, on a loop device. Needs root and a kernel with loop devices; touches
# nothing but its own file. Exits with 77 where that cannot be.
set -euo pipefail
script=$(realpath "$1")

work=$(mktemp -d)
loop=
leave() {
    umount "$work/mounted" 2>/dev/null || true
    away
    rm -rf "$work"
}
away() {
    test -z "$loop" && return
    partx --delete "$loop" 2>/dev/null || true
    losetup --detach "$loop"
    loop=
}
trap leave EXIT
cd "$work"
mkdir mounted nothing

# There is no udev to wait for in a container. That the links it makes are not waited for is a case of its own, below.
printf '#!/bin/sh\n' > nothing/udevadm
chmod +x nothing/udevadm

fail() {
    echo "FAILED: $1"
    sfdisk --list "$loop" || true
    exit 1
}

boot() {
    PATH=$work/nothing:$PATH bash -euo pipefail "$script" "${loop}p2" TEST-state
}

label() {
    blkid -p -s LABEL -o value "${loop}p$1"
}

digest_of_the_system() { # master boot record and table excepted
    head -c 168M card | tail -c +1048577 | sha256sum
}

# The layout of an sd-image: a gap, the firmware, the system, and then the rest of whatever card it was written to.
new_card() {
    away
    rm -f card
    truncate -s 400M card
    printf 'label: dos\nstart=8M, size=32M, type=b\nstart=40M, size=128M, type=83, bootable\n' | sfdisk --quiet card
    if ! loop=$(losetup --show --find card 2>/dev/null); then
        echo "no loop devices here"
        exit 77
    fi
    partx --add "$loop"
    test -b "${loop}p2" || exit 77
    mkfs.ext4 -q -L TEST-system "${loop}p2"
    system=$(digest_of_the_system)
}

new_card
boot || fail "the first boot"
test "$(label 3)" = TEST-state || fail "no state partition"
test "$(cat "/sys/class/block/$(basename "$loop")p3/start")" = 344064 || fail "it does not begin behind the system"
test "$(cat "/sys/class/block/$(basename "$loop")p3/size")" = 475136 || fail "it does not fill the card"
test "$(digest_of_the_system)" = "$system" || fail "the system was touched"

mount "${loop}p3" mounted
echo photo > mounted/photo
umount mounted
boot || fail "the second boot"
mount "${loop}p3" mounted
grep -q photo mounted/photo || fail "the second boot lost a photo"
umount mounted

new_card
echo "start=344064, type=83" | sfdisk --quiet --append --no-reread --no-tell-kernel "$loop"
partx --add --nr 3 "$loop"
boot || fail "the boot after a power cut between table and file system"
test "$(label 3)" = TEST-state || fail "no state partition after a power cut"

new_card
truncate -s 232M remains
mkfs.ext4 -q -L TEST-remains remains
dd if=remains of=card bs=1M seek=168 conv=notrunc status=none
boot || fail "the first boot of a card that was something else before"
test "$(label 3)" = TEST-state || fail "remains of another file system kept it from being made"

new_card
echo "start=344064, size=64M, type=83" | sfdisk --quiet --append --no-reread --no-tell-kernel "$loop"
partx --add --nr 3 "$loop"
mkfs.ext4 -q -L TEST-theirs "${loop}p3"
if boot 2> said; then fail "a partition of somebody else's was accepted"; fi
grep -q "not touching it" said || fail "and it did not say so"
test "$(label 3)" = TEST-theirs || fail "a partition of somebody else's was formatted"

echo "state partition: 5 cards, all as they should be"
