# birthmark-card-setup FAT BUILT STATE WIFI [LED]: takes over FAT/birthmark-setup.txt.
#
# BUILT is the camera's settings file as it was built; STATE/capture.toml is what the daemon reads. Whoever can write to the
# FAT partition holds the card, and so may choose its validator and its network. The file is read line by line and never run.
fat=$1
built=$2
state=$3
wifi=$4

led=${5:-/sys/class/leds/ACT}

asked=$fat/birthmark-setup.txt
result=$fat/birthmark-setup.result.txt

led() {
    if [ -w "$led/trigger" ]; then
        echo "$1" > "$led/trigger"
    fi
}

say() {
    echo "$1"
    lines+=("$1")
}

refuse() {
    say "line $number: $1"
    refused=1
}

# Replaces or adds the `node` of the settings, which stands before the first table, and leaves the rest as it was built.
set_validator() {
    awk -v value="$1" '
        BEGIN { printf "node = \"%s\"\n", value }
        /^\[/ { inside = 1 }
        !inside && $1 == "node" && $2 == "=" { next }
        { print }' "$2" > "$2.new"
    mv "$2.new" "$2"
}

mkdir -p "$state/keys"
# sshd reads the folder as the person who logs in.
chmod 0755 "$state" "$state/keys"

# A card that was told nothing runs with the settings as they were built.
if [ ! -e "$state/capture.toml" ]; then
    install -m 0644 "$built" "$state/capture.toml"
fi

# Which radio channels are allowed has to be said again at every start.
allow_channels() {
    if [ -e "$state/wifi-country" ]; then
        # Without a radio there is nothing to allow, and photos are taken all the same.
        iw reg set "$(cat "$state/wifi-country")" || echo "the radio takes no country"
    fi
}

# Where endings of names are hidden, "birthmark-setup.txt" is easily given a second one.
if [ ! -e "$asked" ] && [ -e "$asked.txt" ]; then
    asked=$asked.txt
fi
if [ ! -e "$asked" ]; then
    allow_channels
    exit 0
fi

led heartbeat
lines=()
refused=0
number=0
name='' password='' country='' validator='' key=''
while IFS= read -r line || [ -n "$line" ]; do
    number=$((number + 1))
    line=${line%$'\r'}
    # What some editors begin every file with.
    line=${line#$'\xef\xbb\xbf'}
    case $line in
        $'\xff\xfe'* | $'\xfe\xff'*) refuse "this is no plain text; save the file as UTF-8"; break ;;
    esac
    case $line in
        '#'* | '') continue ;;
        *=*) ;;
        *) refuse "no \"=\" in it"; continue ;;
    esac
    setting=${line%%=*}
    setting=${setting//[[:space:]]/}
    value=${line#*=}
    value=${value#"${value%%[![:space:]]*}"}
    value=${value%"${value##*[![:space:]]}"}
    case $setting in
        validator)
            if [[ $value =~ ^https?://[A-Za-z0-9.:/_-]+$ ]]; then validator=$value; else refuse "validator is not an http(s) address"; fi ;;
        wifi_country)
            if [[ $value =~ ^[A-Z]{2}$ ]]; then country=$value; else refuse "wifi_country is two capital letters"; fi ;;
        wifi_name)
            if [ "${#value}" -ge 1 ] && [ "${#value}" -le 32 ]; then name=$value; else refuse "wifi_name has 1 to 32 characters"; fi ;;
        wifi_password)
            if [ "${#value}" -ge 8 ] && [ "${#value}" -le 63 ]; then password=$value; else refuse "wifi_password has 8 to 63 characters"; fi ;;
        ssh_key)
            if [[ $value =~ ^(ssh-ed25519|ecdsa-sha2-nistp256|ssh-rsa)\ [A-Za-z0-9+/=]+(\ .*)?$ ]]; then key=$value; else refuse "ssh_key is not a public key"; fi ;;
        *) refuse "no setting is called \"$setting\"" ;;
    esac
done < "$asked"

# All or nothing: a card that is half set up is harder to understand than one that is not.
if [ "$refused" = 0 ] && [ -n "$validator" ]; then
    install -m 0644 "$state/capture.toml" "$state/capture.next.toml"
    set_validator "$validator" "$state/capture.next.toml"
    if ! complaint=$(birthmark-capture --config "$state/capture.next.toml" check-config 2>&1); then
        say "the camera refuses these settings: $complaint"
        refused=1
    fi
fi
if [ "$refused" = 0 ]; then
    if [ -n "$validator" ]; then
        mv "$state/capture.next.toml" "$state/capture.toml"
        say "validator: $validator"
    fi
    if [ -n "$name" ]; then
        mkdir -p "$wifi"
        chmod 0700 "$wifi"
        # iwd names its files by the network, in hexadecimal when it has unusual characters.
        file="$wifi/=$(printf '%s' "$name" | od -An -v -tx1 | tr -d ' \n')"
        if [ -n "$password" ]; then
            printf '[Security]\nPassphrase=%s\n' "$password" > "$file.psk"
        else
            : > "$file.open"
        fi
        say "wifi: $name"
    fi
    if [ -n "$country" ]; then
        printf '%s\n' "$country" > "$state/wifi-country"
        say "wifi country: $country"
    fi
    if [ -n "$key" ]; then
        printf '%s\n' "$key" > "$state/keys/photographer"
        chmod 0644 "$state/keys/photographer"
        say "ssh key taken over"
    fi
    say "done: the camera is set up"
    # The password must not stay where every computer can read it. If we stop before this, the next start does it all again.
    rm -f "$asked"
else
    say "nothing was changed; correct birthmark-setup.txt and start again"
fi
allow_channels
# A partition that cannot be written to is no reason not to take photos. It will be read again at the next start.
if ! printf '%s\r\n' "${lines[@]}" > "$result" || ! sync -f "$fat"; then
    echo "$result cannot be written"
    refused=1
fi
# Even blinking, until the next start: something is wrong with the file, and the result says what.
if [ "$refused" = 0 ]; then led mmc0; else led timer; fi
