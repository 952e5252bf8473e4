# healthy.sh REPOSITORY: a daemon that has worked must work with a new system; one that never did fails nobody.
set -eu
repository=$(readlink -f "$1")
tree=$(mktemp -d)
server=
stop() {
    if [ -n "$server" ]; then
        kill "$server"
        wait "$server" 2> /dev/null || true
        server=
    fi
}
trap 'stop; rm -rf "$tree"' EXIT

healthy() { # SECONDS
    bash -euo pipefail "$repository/nixos-modules/healthy.sh" "$tree/noted" "$1" node "http://127.0.0.1:$port" > "$tree/said" 2>&1
}
# Answers /health with STATUS, on the same port each time.
port=0
serve() {
    rm -f "$tree/port"
    python3 - "$1" "$port" "$tree/port" << 'END' &
import http.server, os, sys

class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(sys.argv[1]) if self.path == "/health" else 404)
        self.end_headers()
    def log_message(self, *_):
        pass

server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Health)
with open(sys.argv[3] + ".new", "w") as file:
    file.write(str(server.server_address[1]))
os.rename(sys.argv[3] + ".new", sys.argv[3])
server.serve_forever()
END
    server=$!
    while [ ! -e "$tree/port" ]; do sleep 0.05; done
    port=$(cat "$tree/port")
}
mkdir "$tree/noted"

serve 503
healthy 0
grep -q "birthmark-node has not worked on this machine yet" "$tree/said"
[ ! -e "$tree/noted/node" ]
stop

serve 200
healthy 0
[ -e "$tree/noted/node" ]
stop

# With the next system it does not.
if healthy 1; then exit 1; fi
grep -q "birthmark-node worked before and does not now: " "$tree/said"
serve 503
if healthy 1; then exit 1; fi
stop

# It takes a while to begin, as with a database that is rewritten.
healthy 30 &
waiting=$!
sleep 1
serve 200
wait "$waiting"
[ -e "$tree/noted/node" ]
echo "healthy: what worked must work, and what never did fails nobody"
