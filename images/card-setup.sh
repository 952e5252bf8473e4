# birthmark-card-setup FAT BUILT STATE WIFI [LED]: takes over FAT/birthmark-setup.txt.
#
# BUILT is the camera's settings file as it was built; STATE/capture.toml is what the daemon reads: the same with what the card
# was told, made anew at every start. Whoever can write to the FAT partition holds the card, and so may choose its validator and
# its network. The file is read line by line and never run.
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

# The settings as they were built, with another `node`, which stands before the first table.
settings_with() {
    awk -v value="$1" '
        BEGIN { printf "node = \"%s\"\n", value }
        /^\[/ { inside = 1 }
        !inside && $1 == "node" && $2 == "=" { next }
        { print }' "$built"
}

# What was built may have changed with an upgrade; what the card was told stays.
write_settings() {
    if [ -e "$state/validator" ]; then
        settings_with "$(cat "$state/validator")"
    else
        cat "$built"
    fi > "$state/capture.next.toml"
    chmod 0644 "$state/capture.next.toml"
    # If we stop here, the daemon has the settings of last time: it never finds half of a file.
    sync "$state/capture.next.toml"
    mv "$state/capture.next.toml" "$state/capture.toml"
}

# A file for iwd, which calls it by the network's name, in hexadecimal if there is anything unusual in that.
know_network() {
    mkdir -p "$wifi"
    chmod 0700 "$wifi"
    file=$wifi/$name
    if [[ ! $name =~ ^[A-Za-z0-9_\ -]+$ ]]; then
        file="$wifi/=$(printf '%s' "$name" | od -An -v -tx1 | tr -d ' \n')"
    fi
    rm -f "$file.psk" "$file.open"
    if [ -n "$password" ]; then
        # In such a file a backslash begins something special.
        printf '[Security]\nPassphrase=%s\n' "${password//\\/\\\\}" > "$file.psk"
    else
        : > "$file.open"
    fi
}

# What birthmark-card-enrol does later, when there is a network. The folder appears whole or not at all.
ask_for_enrolment() {
    rm -rf "$state/enrol.next" "$state/enrol"
    (
        umask 077
        mkdir "$state/enrol.next"
        printf '%s' "$authority" > "$state/enrol.next/authority"
        printf '%s' "$serial" > "$state/enrol.next/serial"
        printf '%s' "$family" > "$state/enrol.next/family"
        printf '%s' "$operator_token" > "$state/enrol.next/token"
    )
    mv "$state/enrol.next" "$state/enrol"
}

mkdir -p "$state/keys"
# sshd reads the folder as the person who logs in.
chmod 0755 "$state" "$state/keys"

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
    write_settings
    allow_channels
    exit 0
fi

led heartbeat
# Lengths in bytes and letters as the network means them, whatever language the machine speaks.
LC_ALL=C
lines=()
refused=0
number=0
name='' password='' country='' validator='' key=''
authority='' serial='' family='' operator_token=''
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
            if [ "${#value}" -ge 1 ] && [ "${#value}" -le 32 ]; then name=$value; else refuse "wifi_name has 1 to 32 bytes"; fi ;;
        wifi_password)
            if [[ $value =~ ^[\ -~]{8,63}$ ]]; then password=$value; else refuse "wifi_password has 8 to 63 characters, none of them accented"; fi ;;
        ssh_key)
            if [[ $value =~ ^(ssh-ed25519|ecdsa-sha2-nistp256|ssh-rsa)\ [A-Za-z0-9+/=]+(\ .*)?$ ]]; then key=$value; else refuse "ssh_key is not a public key"; fi ;;
        authority)
            if [[ $value =~ ^(https://|http://(127\.0\.0\.1|localhost)[:/])[A-Za-z0-9.:/_-]+$ ]]; then authority=$value; else refuse "authority is not an https address"; fi ;;
        serial)
            if [ "${#value}" -ge 1 ] && [ "${#value}" -le 128 ]; then serial=$value; else refuse "serial has 1 to 128 characters"; fi ;;
        family)
            if [ "${#value}" -ge 1 ] && [ "${#value}" -le 128 ]; then family=$value; else refuse "family has 1 to 128 characters"; fi ;;
        operator_token)
            if [[ $value =~ ^[A-Za-z0-9._~+/=-]{16,256}$ ]]; then operator_token=$value; else refuse "operator_token is not a token of an authority"; fi ;;
        *) refuse "no setting is called \"$setting\"" ;;
    esac
done < "$asked"

if [ -n "$password" ] && [ -z "$name" ]; then
    say "wifi_password is for which network? wifi_name is needed too"
    refused=1
fi
# Half of an enrolment is none.
if [ -n "$authority$serial$family$operator_token" ]; then
    for needed in authority serial family operator_token; do
        if [ -z "${!needed}" ]; then
            say "to enrol the camera, $needed is needed too"
            refused=1
        fi
    done
fi

# All or nothing: a card that is half set up is harder to understand than one that is not.
if [ "$refused" = 0 ] && [ -n "$validator" ]; then
    settings_with "$validator" > "$state/capture.next.toml"
    if ! complaint=$(birthmark-capture --config "$state/capture.next.toml" check-config 2>&1); then
        say "the camera refuses these settings: $complaint"
        refused=1
    fi
fi
if [ "$refused" = 0 ]; then
    if [ -n "$validator" ]; then
        printf '%s\n' "$validator" > "$state/validator.next"
        mv "$state/validator.next" "$state/validator"
        say "validator: $validator"
    fi
    if [ -n "$name" ]; then
        know_network
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
    if [ -n "$authority" ]; then
        ask_for_enrolment
        say "enrolment: as soon as $authority can be reached; birthmark-enrolment.result.txt says how it went"
    fi
    say "done: the camera is set up"
    # Password and token must not stay where every computer can read them. Only once everything is safe: if we stop before this,
    # the next start does it all again.
    sync
    rm -f "$asked"
else
    say "nothing was changed; correct birthmark-setup.txt and start again"
fi
write_settings
allow_channels
# A partition that cannot be written to is no reason not to take photos. It will be read again at the next start.
if ! printf '%s\r\n' "${lines[@]}" > "$result" || ! sync -f "$fat"; then
    echo "$result cannot be written"
    refused=1
fi
# Even blinking, until the next start: something is wrong with the file, and the result says what.
if [ "$refused" = 0 ]; then led mmc0; else led timer; fi
