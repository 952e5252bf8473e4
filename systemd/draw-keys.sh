# draw_key FOLDER NAME [OTHER]: 32 random bytes in hexadecimal as the credential FOLDER/credstore/NAME. Not if one of that name
# is where systemd looks, in FOLDER or OTHER, encrypted or not: a key that exists is neither overwritten nor put in the shade.
draw_key() {
    local place new="$1/credstore/.$2.new"
    for place in "$1" "${3:-/run}"; do
        if [ -e "$place/credstore/$2" ] || [ -e "$place/credstore.encrypted/$2" ]; then
            rm -f "$new"
            return
        fi
    done
    mkdir -p "$1"
    if [ ! -d "$1/credstore" ]; then
        mkdir -m 0700 "$1/credstore"
    fi
    # If we stop here, there is no key, and the next start draws one.
    (
        umask 077
        head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' > "$new"
    )
    if [ "$(wc -c < "$new")" != 64 ]; then
        echo "$2 cannot be drawn: $1/credstore has no room" >&2
        return 1
    fi
    sync "$new"
    # Fails if somebody was quicker.
    ln "$new" "$1/credstore/$2" || return 1
    rm "$new"
    sync "$1/credstore"
    echo "$2 was drawn; keep a copy of $1/credstore/$2 elsewhere"
}
