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
zones=${TZDIR:-/usr/share/zoneinfo}

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

# The settings as they were built, with another validator and time zone where these are not empty: before the first table.
settings_with() { # NODE ZONE_MINUTES
    awk -v node="$1" -v zone="$2" '
        BEGIN {
            if (node != "") printf "node = \"%s\"\n", node
            if (zone != "") printf "zone_minutes = %d\n", zone
        }
        /^\[/ { inside = 1 }
        !inside && node != "" && $1 == "node" && $2 == "=" { next }
        !inside && zone != "" && $1 == "zone_minutes" && $2 == "=" { next }
        { print }' "$built"
}

known() {
    if [ -e "$state/$1" ]; then
        cat "$state/$1"
    fi
}

# How far clocks in a time zone are from UTC today, in minutes: summer time is taken over at the next start.
minutes_of() {
    if [ -n "$1" ]; then
        TZ=$1 date +%z | awk '{ print (substr($0, 1, 1) == "-" ? -1 : 1) * (substr($0, 2, 2) * 60 + substr($0, 4, 2)) }'
    fi
}

# What was built may have changed with an upgrade; what the card was told stays.
write_settings() {
    settings_with "$(known validator)" "$(minutes_of "$(known time-zone)")" > "$state/capture.next.toml"
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
    rm -f "$file.psk" "$file.open" "$file.8021x"
    # In such a file a backslash begins something special.
    if [ -n "$user" ]; then
        # The server is asked for its certificate before it hears the password: anybody can call a network "eduroam".
        kind=8021x
        printf '[Security]\nEAP-Method=PEAP\nEAP-Identity=anonymous@%s\nEAP-PEAP-CACert=%s\nEAP-PEAP-ServerDomainMask=%s\n' \
            "${user#*@}" "$state/wifi-ca.pem" "$server"
        printf 'EAP-PEAP-Phase2-Method=MSCHAPV2\nEAP-PEAP-Phase2-Identity=%s\nEAP-PEAP-Phase2-Password=%s\n' \
            "${user//\\/\\\\}" "${password//\\/\\\\}"
    elif [ -n "$password" ]; then
        kind=psk
        printf '[Security]\nPassphrase=%s\n' "${password//\\/\\\\}"
    else
        kind=open
    fi > "$file.next"
    if [ "$hidden" = yes ]; then
        printf '[Settings]\nHidden=true\n' >> "$file.next"
    fi
    mv "$file.next" "$file.$kind"
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

# Where endings of names are hidden, "birthmark-setup.txt" is easily given a second one.
if [ ! -e "$asked" ] && [ -e "$asked.txt" ]; then
    asked=$asked.txt
fi
if [ ! -e "$asked" ]; then
    write_settings
    exit 0
fi

led heartbeat
# Lengths in bytes and letters as the network means them, whatever language the machine speaks.
LC_ALL=C
lines=()
refused=0
number=0
name='' password='' country='' validator='' key='' hidden='' user='' server='' zone=''
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
        wifi_hidden)
            if [[ $value =~ ^(yes|no)$ ]]; then hidden=$value; else refuse "wifi_hidden is yes or no"; fi ;;
        wifi_user)
            if [[ $value =~ ^[\ -~]{1,128}@[A-Za-z0-9.-]+$ ]]; then user=$value; else refuse "wifi_user is a name with the institution's domain, as in anna@library.example"; fi ;;
        wifi_server)
            if [[ $value =~ ^[*]?[A-Za-z0-9.-]+$ ]]; then server=$value; else refuse "wifi_server is the name in the certificate of the network's server"; fi ;;
        time_zone)
            # As the zones' files are called; what is in none of them would silently be UTC.
            if [[ $value =~ ^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$ && -f $zones/$value ]]; then zone=$value; else refuse "time_zone is a name such as Europe/Berlin"; fi ;;
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
if [ -n "$hidden" ] && [ -z "$name" ]; then
    say "wifi_hidden is about which network? wifi_name is needed too"
    refused=1
fi
# Whoever would give the password to any server that calls itself so, gives it to a stranger.
if [ -n "$user$server" ]; then
    for needed in name password user server; do
        if [ -z "${!needed}" ]; then
            say "for a network with names of users, wifi_$needed is needed too"
            refused=1
        fi
    done
    if [ ! -e "$fat/birthmark-wifi-ca.pem" ] && [ ! -e "$state/wifi-ca.pem" ]; then
        say "for a network with names of users, its certificate is needed beside this file, as birthmark-wifi-ca.pem"
        refused=1
    elif [ -e "$fat/birthmark-wifi-ca.pem" ] && ! grep -q 'BEGIN CERTIFICATE' "$fat/birthmark-wifi-ca.pem"; then
        say "birthmark-wifi-ca.pem is no certificate in PEM"
        refused=1
    fi
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
    settings_with "$validator" "" > "$state/capture.next.toml"
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
    if [ -n "$zone" ]; then
        printf '%s\n' "$zone" > "$state/time-zone"
        say "time zone: $zone"
    fi
    if [ -n "$user" ] && [ -e "$fat/birthmark-wifi-ca.pem" ]; then
        tr -d '\r' < "$fat/birthmark-wifi-ca.pem" > "$state/wifi-ca.pem.next"
        mv "$state/wifi-ca.pem.next" "$state/wifi-ca.pem"
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
# A partition that cannot be written to is no reason not to take photos. It will be read again at the next start.
if ! printf '%s\r\n' "${lines[@]}" > "$result" || ! sync -f "$fat"; then
    echo "$result cannot be written"
    refused=1
fi
# Even blinking, until the next start: something is wrong with the file, and the result says what.
if [ "$refused" = 0 ]; then led mmc0; else led timer; fi
