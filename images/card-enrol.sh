# birthmark-card-enrol FAT REQUEST [OPTION...]: enrols the camera as birthmark-setup.txt asked for, and says on the FAT
# partition how it went. Whoever runs this runs it again until it ends well; options are those of `birthmark`.
fat=$1
request=$2
shift 2

result=$fat/birthmark-enrolment.result.txt

# Once per answer: the partition is on a card that wears out, and this may be tried for weeks.
say() {
    echo "$1"
    if [ "$(tr -d '\r' < "$result" 2> /dev/null)" = "$1" ]; then
        return
    fi
    if ! printf '%s\n' "$1" | sed 's/$/\r/' > "$result" || ! sync -f "$fat"; then
        echo "$result cannot be written"
    fi
}

# Also if the power went between the enrolment and the end of this.
if known=$(birthmark "$@" info 2>&1); then
    rm -r "$request"
    say "this camera is enrolled; $known"
    exit 0
fi
if ! said=$(birthmark "$@" provision --require-attestation --token-file "$request/token" \
    --authority "$(cat "$request/authority")" --serial "$(cat "$request/serial")" --family "$(cat "$request/family")" 2>&1); then
    say "not enrolled yet, and tried again: $said"
    exit 1
fi
# The token has done what it was for.
rm -r "$request"
say "$said"
