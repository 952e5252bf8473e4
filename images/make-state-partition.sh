# make-state-partition ROOT LABEL: a partition behind the one at ROOT that fills its disk, with an ext4 file system of that
# label. Does nothing if the label exists. Each step can be repeated after a power cut.

root=$(readlink -f "$1")
label=$2

if [ -e "/dev/disk/by-label/$label" ]; then
    exit 0
fi

disk=/dev/$(lsblk -ndo PKNAME "$root")
number=$(lsblk -ndo PARTN "$root")
next=$((number + 1))

case $disk in
    *[0-9]) partition=${disk}p$next ;;
    *) partition=$disk$next ;;
esac

# If we stop here, the next boot finds no partition and makes it.
if [ ! -b "$partition" ]; then
    echo "type=83" | sfdisk --append --no-reread --no-tell-kernel "$disk"
    partx --add --nr "$next" "$disk"
    udevadm settle --timeout=10
fi

# If we stop inside, the label is not there yet (mke2fs writes the superblock last) and the next boot formats again. A
# partition with anything recognisable in it is never formatted.
if blkid -p "$partition" >/dev/null 2>&1; then
    echo "state partition: $partition holds something that is not labelled $label; not touching it" >&2
    exit 1
fi
mkfs.ext4 -q -L "$label" "$partition"
udevadm trigger --action=change --settle "$partition"
