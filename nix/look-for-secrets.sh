# look_for_keys PATH…: names the files below that hold a private key, links followed, also where it is spread over lines.
look_for_keys() {
    # A link that leads out of the build is no find.
    grep -RslzaE -e '-----BEGIN ([A-Z]+ )*PRIVATE KEY-----[[:space:]]+[A-Za-z0-9+/=]{40}' \
        -e 'AGE-SECRET-KEY-1[A-Z0-9]{58}' "$@" || true
}

# look_into_etc PATH: names what a machine must not share with others in the /etc of a built system.
look_into_etc() {
    for folder in birthmark ssh systemd/system credstore credstore.encrypted; do
        if [ -e "$1/etc/$folder" ]; then look_for_keys "$1/etc/$folder"; fi
    done
    for identity in "$1/etc/machine-id" "$1"/etc/ssh/*_key; do
        if [ -e "$identity" ]; then echo "$identity"; fi
    done
}
