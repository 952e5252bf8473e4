# usb-gadget CONFIGFS CONTROLLERS SERIAL-FILE: makes the power cable a network cable, for the first USB controller in CONTROLLERS.
#
# NCM is what Windows 11, macOS and Linux take without a driver; the older kind (g_ether) became a serial port in Windows. Both
# ends keep their addresses, so that a computer knows the camera again, and has one network of it, not one for each start.
configfs=$1
controllers=$2
serial=$(tr -d '\0' < "$3")

gadget=$configfs/usb_gadget/birthmark

# Six bytes that are this camera's own at both ends; the second lowest bit of the first says that no maker assigned them.
address() {
    local digits
    digits=$(printf 'birthmark %s %s' "$1" "$serial" | sha256sum | cut -c1-10)
    echo "02:${digits:0:2}:${digits:2:2}:${digits:4:2}:${digits:6:2}:${digits:8:2}"
}

controller=
for found in "$controllers"/*; do
    if [ -e "$found" ]; then
        controller=$(basename "$found")
        break
    fi
done
if [ -z "$controller" ]; then
    echo "no USB controller can be a device: is the dwc2 overlay in config.txt?" >&2
    exit 1
fi
# Already there, as when this is started once more.
if [ -e "$gadget/UDC" ] && [ -n "$(cat "$gadget/UDC")" ]; then
    exit 0
fi

mkdir -p "$gadget/strings/0x409" "$gadget/configs/c.1/strings/0x409" "$gadget/functions/ncm.usb0"
# The Linux Foundation's numbers for a gadget of several functions.
echo 0x1d6b > "$gadget/idVendor"
echo 0x0104 > "$gadget/idProduct"
echo 0x0100 > "$gadget/bcdDevice"
echo 0x0200 > "$gadget/bcdUSB"
# Functions described by an association: what Windows wants of a device with more than one interface.
echo 0xEF > "$gadget/bDeviceClass"
echo 0x02 > "$gadget/bDeviceSubClass"
echo 0x01 > "$gadget/bDeviceProtocol"
echo "Birthmark" > "$gadget/strings/0x409/manufacturer"
echo "Birthmark camera" > "$gadget/strings/0x409/product"
# Not the board's own number, which would name the camera to every computer it is plugged into.
address serial | tr -d : > "$gadget/strings/0x409/serialnumber"
echo "Photos" > "$gadget/configs/c.1/strings/0x409/configuration"
echo 500 > "$gadget/configs/c.1/MaxPower"

address camera > "$gadget/functions/ncm.usb0/dev_addr"
address computer > "$gadget/functions/ncm.usb0/host_addr"

# What makes Windows 10 and 11 choose their own NCM driver.
mkdir -p "$gadget/os_desc" "$gadget/functions/ncm.usb0/os_desc/interface.ncm"
echo 1 > "$gadget/os_desc/use"
echo 0xcd > "$gadget/os_desc/b_vendor_code"
echo MSFT100 > "$gadget/os_desc/qw_sign"
echo WINNCM > "$gadget/functions/ncm.usb0/os_desc/interface.ncm/compatible_id"

if [ ! -e "$gadget/configs/c.1/ncm.usb0" ]; then
    ln -s "$gadget/functions/ncm.usb0" "$gadget/configs/c.1/"
fi
if [ ! -e "$gadget/os_desc/c.1" ]; then
    ln -s "$gadget/configs/c.1" "$gadget/os_desc/"
fi
# Last: from here on a computer sees it.
echo "$controller" > "$gadget/UDC"
