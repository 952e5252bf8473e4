# look_at_units FROM: whether systemd understands every line of the daemons' units in the folder FROM, and finds no daemon
# more exposed than 1.5. Works where a Nix build does: as nobody special, without /run.

look_at_units() {
    local from=$1 own unit said
    own=$(mktemp -d)
    mkdir "$own/run"
    # Only ours: among a machine's other units are masked ones, links to /dev/null that nobody but root can copy. The links
    # themselves lead into the Nix store, and the folders of drop-ins have to lie beside the units that are read.
    for unit in "$from"/birthmark-*; do
        if [ "$(readlink -f "$unit")" = /dev/null ]; then
            continue
        fi
        cp -rL --no-preserve=mode "$unit" "$own"
    done
    # A template is looked at as one of its instances.
    for unit in "$own"/birthmark-*@.service; do
        if [ -e "$unit" ]; then
            mv "$unit" "${unit%.service}test.service"
        fi
    done
    # What every unit needs without saying so. Not systemd's own: nixpkgs keeps them where systemd does not look, and what
    # may be wrong with one of those is not ours.
    for unit in basic.target shutdown.target sockets.target; do
        printf '[Unit]\nDescription=Stands for the one of systemd\n' > "$own/$unit"
    done

    # In the mode for a user's own units the lines mean the same, and the only folder it has to make is not in /run.
    export SYSTEMD_UNIT_PATH=$own XDG_RUNTIME_DIR=$own/run
    # A setting that systemd does not know is only a warning to it; here, anything it says is an error.
    if ! said=$(systemd-analyze --user verify --man=no --recursive-errors=one \
        "$own"/birthmark-*.service "$own"/birthmark-*.socket 2>&1) || [ -n "$said" ]; then
        echo "$from: $said" >&2
        return 1
    fi
    for unit in "$own"/birthmark-*.service; do
        if ! said=$(systemd-analyze --user security --no-pager --offline=true --threshold=15 "$unit" 2>&1); then
            echo "$from: $(basename "$unit"): ${said##*$'\n'}" >&2
            return 1
        fi
    done
    rm -r "$own"
}
