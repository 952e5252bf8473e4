# make-state-partition ROOT LABEL: a partition behind the one at ROOT that fills its disk, with an ext4 file system of that
# label. Does nothing if the label exists. Each step can be repeated after a power cut.

root=$(readlink -f "$1")
label=$2

if [ -e "/dev/disk/by-label/$label" ]; then
    exit 0
fi

# From the kernel itself: what udev knows about partitions may come later than us.
about=$(readlink -f "/sys/class/block/$(basename "$root")")
disk=/dev/$(basename "$(dirname "$about")")
next=$(($(cat "$about/partition") + 1))
# Right behind the root, on a boundary of 1 MiB. Without a start, sfdisk would take the first room there is: the gap before the
# first partition.
start=$((($(cat "$about/start") + $(cat "$about/size") + 2047) / 2048 * 2048))

case $disk in
    *[0-9]) partition=${disk}p$next ;;
    *) partition=$disk$next ;;
esac

# On every other boot. The link above may come a moment after the one of the root.
if [ -b "$partition" ] && [ "$(blkid -p -s LABEL -o value "$partition")" = "$label" ]; then
    exit 0
fi

# If we stop here, the next boot finds no partition and makes it. A card that was something else before may have remains of a
# file system at this place: they go, as everybody expects who has just written an image over that card.
if [ ! -b "$partition" ]; then
    echo "start=$start, type=83" |
        sfdisk --quiet --append --wipe-partitions always --no-reread --no-tell-kernel "$disk"
    partx --add --nr "$next" "$disk"
    udevadm settle --timeout=10
fi

# If we stop inside, the label is not there yet (mke2fs writes the superblock last) and the next boot formats again. A
# partition with anything recognisable in it is never formatted.
found=$(wipefs --no-act --noheadings "$partition")
if [ -n "$found" ]; then
    echo "state partition: $partition holds something that is not labelled $label; not touching it" >&2
    exit 1
fi
mkfs.ext4 -q -L "$label" "$partition"
udevadm trigger --action=change --settle "$partition"
