"""The front's limits with a real nginx: the files of nixos-modules/front as the module puts them together, on loopback.

    python3 nix/tests/front.py

Exits with 77 where there is no nginx. As root it has a network of its own, with IPv6 addresses to be many clients from.
"""

import http.client
import http.server
import os
import pathlib
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

FRONT = pathlib.Path(__file__).parent / "../../nixos-modules/front"
CONNECTIONS_PER_CLIENT = 64
HEADER_TIMEOUT = 10
HALF_OPEN = 2000


def part(name):
    return (FRONT / name).read_text()


def configuration(folder, port, behind, limits=True):
    """As services.nginx writes it; without `limits`, nginx as it comes."""
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
        daemon off;
        pid {folder}/pid;
        error_log {folder}/errors warn;
        {part("main.conf") if limits else ""}
        events {{ {part("events.conf") if limits else ""} }}
        http {{
            {temporary}
            {part("http.conf") if limits else "access_log off;"}
            server {{
                listen 127.0.0.1:{port};
                listen [::]:{port} ipv6only=on;
                {part("server.conf") if limits else ""}
                client_max_body_size 1m;
                client_body_buffer_size 1m;
                location / {{
                    {part("location.conf") if limits else ""}
                    proxy_pass http://127.0.0.1:{behind};
                }}
            }}
        }}
    """


class Daemon(http.server.BaseHTTPRequestHandler):
    """What stands behind the front. It keeps /wait open until the test lets go."""

    protocol_version = "HTTP/1.1"
    let_go = threading.Event()

    def do_GET(self):
        if self.path == "/wait":
            Daemon.let_go.wait(30)
        self.say(self.headers.get("X-Forwarded-For", ""))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.say(str(len(body)))

    def say(self, text):
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


class Behind(http.server.ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Nginx:
    def __init__(self, folder, behind, limits=True):
        self.folder = pathlib.Path(folder)
        # Its workers are nobody in particular.
        self.folder.chmod(0o755)
        self.port = free_port()
        file = self.folder / "nginx.conf"
        file.write_text(configuration(folder, self.port, behind, limits))
        command = [shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"), "-e", f"{folder}/errors", "-c", str(file)]
        self.process = subprocess.Popen(command)
        until = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < until, self.errors()
                time.sleep(0.05)

    def errors(self):
        return (self.folder / "errors").read_text()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)

    def ask(self, path="/", timeout=3, host="127.0.0.1", source=None, method="GET", **more):
        client = http.client.HTTPConnection(host, self.port, timeout, source_address=source and (source, 0))
        try:
            client.request(method, path, **more)
            answer = client.getresponse()
            return answer.status, answer.read().decode(), dict(answer.getheaders())
        finally:
            client.close()

    def half_open(self, count):
        """Requests that are begun and never ended. nginx has read what came of each before the next ones: those that it has
        not read yet it can give up, and the attack would harm only itself."""
        begun = []
        for number in range(count):
            if number % 20 == 0:
                time.sleep(0.02)
            client = socket.create_connection(("127.0.0.1", self.port), 5)
            client.sendall(b"GET / HTTP/1.1\r\nHost: ")
            begun.append(client)
        return begun


def another_is_served(nginx):
    try:
        return nginx.ask(source="127.0.0.2")[0] == 200
    except OSError:
        return False


def wait(nginx, host, source):
    # The test's own question may have the last seat for a moment.
    while nginx.ask("/wait", 40, host, source)[0] == 429:
        time.sleep(0.05)


def waiting(nginx, count, host, source):
    threads = []
    for _ in range(count):
        one = threading.Thread(target=wait, args=(nginx, host, source), daemon=True)
        one.start()
        threads.append(one)
    return threads


def seat_for(nginx, host, source):
    return nginx.ask(host=host, source=source)[0]


def check_seats(nginx, host, client, same, other):
    """One client has so many requests at a time, from whichever of its addresses; the next client has its own."""
    Daemon.let_go.clear()
    held = waiting(nginx, CONNECTIONS_PER_CLIENT, host, client)
    until = time.monotonic() + 20
    while seat_for(nginx, host, same) != 429:
        assert time.monotonic() < until, f"{same} had more than {CONNECTIONS_PER_CLIENT} requests at a time with {client}"
        time.sleep(0.1)
    assert seat_for(nginx, host, other) == 200, f"{other} was refused for {client}"
    Daemon.let_go.set()
    for one in held:
        one.join(20)
    assert seat_for(nginx, host, client) == 200, "the seats were not given back"


def check_limits(nginx, own_network):
    status, seen, headers = nginx.ask(headers={"X-Forwarded-For": "198.51.100.7"})
    assert (status, seen) == (200, "127.0.0.1"), f"the daemon believes that {seen} asks"
    assert headers["Strict-Transport-Security"] == "max-age=31536000", headers

    assert nginx.ask(method="POST", body=b"x" * (2 * 1024 * 1024))[0] == 413
    status, seen, _ = nginx.ask(method="POST", body=b"x" * 1000000)
    assert (status, seen) == (200, "1000000"), (status, seen)
    assert "temporary file" not in nginx.errors(), nginx.errors()

    check_seats(nginx, "127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.2")
    if own_network:
        check_seats(nginx, "fd00:0:0:1::1", "fd00:0:0:1::1", "fd00:0:0:1:aaaa:bbbb:cccc:dddd", "fd00:0:0:2::1")

    began = time.monotonic()
    begun = nginx.half_open(HALF_OPEN)
    assert another_is_served(nginx), f"{HALF_OPEN} half-open requests of one client, and another is not served"
    # The first is given up in time, and so is the last.
    for client in (begun[0], begun[-1]):
        client.settimeout(HEADER_TIMEOUT + 20)
        try:
            assert client.recv(1) == b"", "an answer to half of a question"
        except ConnectionResetError:
            pass
    passed = time.monotonic() - began
    assert passed >= HEADER_TIMEOUT - 1, f"given up after {passed:.1f} s"
    for client in begun:
        client.close()


def in_own_network():
    """A network namespace with addresses of two IPv6 networks, if this machine lets us have one."""
    if os.geteuid() != 0 or os.environ.get("OWN_NETWORK") or not shutil.which("unshare") or not shutil.which("ip"):
        return
    if subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0:
        os.execvpe("unshare", ["unshare", "--net", sys.executable, *sys.argv], os.environ | {"OWN_NETWORK": "1"})


def main():
    if not shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"):
        print("nginx is not installed", file=sys.stderr)
        sys.exit(77)
    in_own_network()
    own_network = bool(os.environ.get("OWN_NETWORK"))
    if own_network:
        for command in (
            "link set lo up",
            *(
                f"-6 addr add {address}/128 dev lo nodad"
                for address in ("fd00:0:0:1::1", "fd00:0:0:1:aaaa:bbbb:cccc:dddd", "fd00:0:0:2::1")
            ),
        ):
            subprocess.run(["ip", *command.split()], check=True)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    assert re.search(rf"limit_conn birthmark_clients {CONNECTIONS_PER_CLIENT};", part("server.conf"))
    behind = Behind(("127.0.0.1", 0), Daemon)
    threading.Thread(target=behind.serve_forever, daemon=True).start()

    with tempfile.TemporaryDirectory() as folder, Nginx(folder, behind.server_address[1]) as nginx:
        check_limits(nginx, own_network)
    # And the attack is one: nginx as it comes serves nobody else.
    with tempfile.TemporaryDirectory() as folder, Nginx(folder, behind.server_address[1], limits=False) as nginx:
        begun = nginx.half_open(HALF_OPEN // 2 + 100)
        assert not another_is_served(nginx), "nginx as it comes withstands this: the test shows nothing"
        for client in begun:
            client.close()
    print(f"front: limits hold with {HALF_OPEN} half-open requests{'' if own_network else ' (IPv6 not tried)'}")


main()
