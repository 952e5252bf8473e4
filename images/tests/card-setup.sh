# card-setup.sh SCRIPT: networks of several kinds and the time zone, from the text file of a card whose partitions are folders.
# What else the file does is tried with the daemon itself, in crates/capture/tests/story/card.rs.
set -eu
script=$(readlink -f "$1")
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir "$tree/firmware" "$tree/state" "$tree/wifi" "$tree/led" "$tree/bin"
printf 'node = "http://127.0.0.1:8545"\nzone_minutes = 0\n\n[source]\nkind = "libcamera"\n' > "$tree/built.toml"
# The daemon's own word on its settings is not what is tried here.
printf '#!/bin/sh\nexit 0\n' > "$tree/bin/birthmark-capture"
chmod +x "$tree/bin/birthmark-capture"
TZDIR=$tree/zones
mkdir -p "$TZDIR/Asia"
# A zone of half an hour, without summer time, as tzfile(5) has it: this machine may have none of its own.
python3 - "$TZDIR/Asia/Kolkata" << 'END'
import struct, sys

def block(version):
    return b"TZif" + version + bytes(15) + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + struct.pack(">lbb", 19800, 0, 0) + b"IST\0"

open(sys.argv[1], "wb").write(block(b"2") + block(b"2") + b"\nIST-5:30\n")
END
export TZDIR

setup() { # LINES
    rm -f "$tree/firmware/birthmark-setup.result.txt"
    printf '%b' "$1" > "$tree/firmware/birthmark-setup.txt"
    PATH=$tree/bin:$PATH bash -euo pipefail "$script" "$tree/firmware" "$tree/built.toml" "$tree/state" "$tree/wifi" "$tree/led" > /dev/null
    said=$(cat "$tree/firmware/birthmark-setup.result.txt")
}
has() {
    case $said in
        *"$1"*) ;;
        *) echo "not said: $1, but: $said" >&2; exit 1 ;;
    esac
}
is() { # FILE TEXT
    if [ "$(cat "$tree/$1")" != "$(printf '%b' "$2")" ]; then
        echo "$1 is: $(cat "$tree/$1")" >&2
        exit 1
    fi
}

setup 'wifi_name = Attic\nwifi_password = correct horse\nwifi_hidden = yes\n'
is wifi/Attic.psk '[Security]\nPassphrase=correct horse\n[Settings]\nHidden=true\n'
# The same network without its password is another kind of it.
setup 'wifi_name = Attic\n'
is wifi/Attic.open ''
[ ! -e "$tree/wifi/Attic.psk" ]

setup 'wifi_hidden = yes\n'
has 'wifi_hidden is about which network? wifi_name is needed too'
setup 'wifi_name = eduroam\nwifi_password = correct horse\nwifi_user = anna@library.example\n'
has 'for a network with names of users, wifi_server is needed too'
has 'its certificate is needed beside this file, as birthmark-wifi-ca.pem'
[ ! -e "$tree/wifi/eduroam.8021x" ] && [ ! -e "$tree/wifi/eduroam.psk" ]
echo 'no certificate' > "$tree/firmware/birthmark-wifi-ca.pem"
eduroam='wifi_name = eduroam\nwifi_password = correct\\horse\nwifi_user = anna@library.example\nwifi_server = radius.library.example\n'
setup "$eduroam"
has 'birthmark-wifi-ca.pem is no certificate in PEM'
printf -- '-----BEGIN CERTIFICATE-----\r\nAAAA\r\n-----END CERTIFICATE-----\r\n' > "$tree/firmware/birthmark-wifi-ca.pem"
setup "$eduroam"
has 'wifi: eduroam'
is wifi/eduroam.8021x "[Security]\nEAP-Method=PEAP\nEAP-Identity=anonymous@library.example\nEAP-PEAP-CACert=$tree/state/wifi-ca.pem\n\
EAP-PEAP-ServerDomainMask=radius.library.example\nEAP-PEAP-Phase2-Method=MSCHAPV2\nEAP-PEAP-Phase2-Identity=anna@library.example\n\
EAP-PEAP-Phase2-Password=correct\\\\\\\\horse\n"
is state/wifi-ca.pem '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'
# The second time the certificate is known.
rm "$tree/firmware/birthmark-wifi-ca.pem"
setup "$eduroam"
has 'done: the camera is set up'

for wrong in 'wifi_user = anna' 'wifi_hidden = perhaps' 'wifi_server = a b' 'time_zone = Berlin' 'time_zone = ../../etc/passwd'; do
    setup "$wrong\n"
    has "line 1: ${wrong%% *} is"
done

setup 'time_zone = Asia/Kolkata\nvalidator = https://validator.library.example\n'
has 'time zone: Asia/Kolkata'
is state/capture.toml 'node = "https://validator.library.example"\nzone_minutes = 330\n\n[source]\nkind = "libcamera"\n'
# Another start, and nothing that was told is forgotten.
setup 'wifi_name = Attic\n'
is state/capture.toml 'node = "https://validator.library.example"\nzone_minutes = 330\n\n[source]\nkind = "libcamera"\n'
echo "card-setup: hidden networks, networks with names, and the time zone"
