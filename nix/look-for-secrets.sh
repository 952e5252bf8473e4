# look_for_keys [--no-dereference] PATH…: names the files below that hold a private key, links followed, also where it is spread
# over lines.
look_for_keys() {
    local links=-R
    if [ "$1" = --no-dereference ]; then links=-r; shift; fi
    # A link that leads out of the build is no find.
    grep "$links" -slzaE -e '-----BEGIN ([A-Z]+ )*PRIVATE KEY-----[[:space:]]+[A-Za-z0-9+/=]{40}' \
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

# look_into_closure LIST: the same in all that a system consists of, store path by store path. What is made for a machine is
# small: settings, scripts, units, secrets by mistake. Larger are programs of nixpkgs, the same for everybody, some with the keys
# of their own tests.
look_into_closure() {
    while IFS= read -r path; do
        if [ "$(du -sk --apparent-size "$path" | cut -f1)" -lt 1024 ]; then
            look_for_keys --no-dereference "$path"
        fi
    done < "$1"
}
