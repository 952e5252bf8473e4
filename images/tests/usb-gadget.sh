# usb-gadget.sh SCRIPT: the cable's description, in folders that stand for the kernel's.
set -eu
script=$(readlink -f "$1")
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/config/usb_gadget" "$tree/udc"
make() {
    # As the kernel ends it.
    printf '%s\0' "$1" > "$tree/serial-number"
    bash -euo pipefail "$script" "$tree/config" "$tree/udc" "$tree/serial-number"
}
read_part() { cat "$tree/config/usb_gadget/birthmark/$1"; }

if make 1000 2> "$tree/said"; then exit 1; fi
grep -q "is the dwc2 overlay in config.txt" "$tree/said"

touch "$tree/udc/fe980000.usb"
make 1000
[ "$(read_part UDC)" = fe980000.usb ]
[ "$(read_part functions/ncm.usb0/os_desc/interface.ncm/compatible_id)" = WINNCM ]
[ "$(read_part os_desc/qw_sign)" = MSFT100 ]
[ "$(read_part configs/c.1/ncm.usb0/dev_addr)" = "$(read_part functions/ncm.usb0/dev_addr)" ]
camera=$(read_part functions/ncm.usb0/dev_addr) computer=$(read_part functions/ncm.usb0/host_addr)
for address in "$camera" "$computer"; do
    printf '%s\n' "$address" | grep -qxE '02(:[0-9a-f]{2}){5}'
done
[ "$camera" != "$computer" ]
if read_part strings/0x409/serialnumber | grep -q 1000; then exit 1; fi

# The same at the next start and when it is made again; another camera's are others.
make 1000
rm -r "$tree/config/usb_gadget/birthmark"
make 1000
[ "$(read_part functions/ncm.usb0/dev_addr)" = "$camera" ]
[ "$(read_part functions/ncm.usb0/host_addr)" = "$computer" ]
rm -r "$tree/config/usb_gadget/birthmark"
make 1001
[ "$(read_part functions/ncm.usb0/host_addr)" != "$computer" ]
echo "usb-gadget: an NCM network with addresses of its own"
