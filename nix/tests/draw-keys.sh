# draw-keys.sh REPOSITORY: keys that nobody has to think of are drawn once, and never over one that is there.
set -eu
# shellcheck source-path=SCRIPTDIR source=../../systemd/draw-keys.sh
. "$1/systemd/draw-keys.sh"
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
etc=$tree/etc run=$tree/run
mkdir "$etc" "$run"

draw_key "$etc" birthmark-node.lookup-key "$run"
key=$etc/credstore/birthmark-node.lookup-key
[ "$(stat -c %a "$key")" = 600 ]
[ "$(stat -c %a "$etc/credstore")" = 700 ]
grep -qxE '[0-9a-f]{64}' "$key"
before=$(cat "$key")
draw_key "$etc" birthmark-node.lookup-key "$run"
[ "$(cat "$key")" = "$before" ]
[ "$(find "$etc/credstore" -type f | wc -l)" = 1 ]

# Another machine's key is another one.
draw_key "$tree/other" birthmark-node.lookup-key "$run"
[ "$(cat "$tree/other/credstore/birthmark-node.lookup-key")" != "$before" ]

# One that is bound to the chip, or lies in /run, is not put in the shade.
for place in "$etc/credstore.encrypted" "$run/credstore" "$run/credstore.encrypted"; do
    mkdir -p "$place"
    rm -f "$key"
    touch "$place/birthmark-node.lookup-key"
    draw_key "$etc" birthmark-node.lookup-key "$run"
    [ ! -e "$key" ]
    rm "$place/birthmark-node.lookup-key"
done

# The power went in the middle.
echo half > "$etc/credstore/.birthmark-node.lookup-key.new"
draw_key "$etc" birthmark-node.lookup-key "$run"
grep -qxE '[0-9a-f]{64}' "$key"
ln "$key" "$etc/credstore/.birthmark-node.lookup-key.new"
before=$(cat "$key")
draw_key "$etc" birthmark-node.lookup-key "$run"
[ "$(cat "$key")" = "$before" ]
[ ! -e "$etc/credstore/.birthmark-node.lookup-key.new" ]

# A full disk draws nothing.
if (
    # shellcheck disable=SC2317
    head() { :; }
    draw_key "$etc" birthmark-sma.authority-vault "$run"
) 2> /dev/null; then
    echo "half of a key was taken for one" >&2
    exit 1
fi
[ ! -e "$etc/credstore/birthmark-sma.authority-vault" ]
echo "draw-keys: drawn once, kept, and whole"
