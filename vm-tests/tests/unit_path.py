"""What a scenario leaves running in a unit of its own runs there with that unit's PATH, which on NixOS holds systemd's programs
only. Here such units are played by a `systemd-run` that gives its command no PATH at all, unless it was told one.

    python3 vm-tests/tests/unit_path.py
"""

import http.server
import os
import pathlib
import subprocess
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).parent

# Understands what the scenarios say to it, and refuses everything else, so that it cannot fall behind them.
SYSTEMD_RUN = r"""#!/bin/bash
unit= path=/var/empty
while [ $# -gt 0 ]; do
    case $1 in
        --quiet | --collect) ;;
        --unit=*) unit=${1#--unit=} ;;
        --setenv=PATH=*) path=${1#--setenv=PATH=} ;;
        -*) echo "not played here: $1" >&2; exit 1 ;;
        *) break ;;
    esac
    shift
done
# systemd-run itself looks for the program where its caller does.
program=$(type -P "$1") || exit 1
shift
env -i "PATH=$path" "$program" "$@" < /dev/null > /dev/null 2>&1 &
echo $! > "$UNITS/$unit"
"""

SYSTEMCTL = r"""#!/bin/bash
[ "$1" = stop ] || { echo "not played here: $*" >&2; exit 1; }
kill "$(cat "$UNITS/${2%.service}" 2> /dev/null)" 2> /dev/null && rm "$UNITS/${2%.service}"
"""


class Machine:
    """This machine, in the words of the test driver."""

    def __init__(self, folder):
        programs = folder / "bin"
        programs.mkdir()
        for name, text in (("systemd-run", SYSTEMD_RUN), ("systemctl", SYSTEMCTL)):
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        # The scenarios write to /tmp.
        self.folder = folder
        self.environment = os.environ | {"UNITS": str(folder), "PATH": f"{programs}:{os.environ['PATH']}"}

    def execute(self, command):
        command = command.replace("/tmp/", f"{self.folder}/")
        ended = subprocess.run(["bash", "-c", command], env=self.environment, capture_output=True, text=True, check=False)
        return ended.returncode, ended.stdout + ended.stderr

    def succeed(self, *commands):
        for command in commands:
            status, said = self.execute(command)
            assert status == 0, f"{command}: {said}"
        return said

    def fail(self, command):
        status, said = self.execute(command)
        assert status != 0, f"{command} succeeded"
        return said

    def wait_until_succeeds(self, command, _timeout=0):
        until = time.monotonic() + 10
        while self.execute(command)[0] != 0:
            assert time.monotonic() < until, f"{command}: never succeeded"
            time.sleep(0.1)


class Health(http.server.BaseHTTPRequestHandler):
    answers = 200

    def do_GET(self):
        self.send_response(Health.answers)
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    words = {}
    exec(compile((HERE / "../scenarios/common.py").read_text(), "common.py", "exec"), words)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(pathlib.Path(folder))
        try:
            words["ask_on_and_on"](machine, server.server_address[1])
            words["nobody_was_refused"](machine)
            # And somebody who was refused is noticed.
            words["ask_on_and_on"](machine, server.server_address[1])
            Health.answers = 503
            machine.wait_until_succeeds("grep REFUSED /tmp/answers")
            try:
                words["nobody_was_refused"](machine)
            except AssertionError:
                pass
            else:
                raise AssertionError("somebody was refused, and nobody noticed")
        finally:
            machine.execute("systemctl stop asking.service")
            server.shutdown()
    print("unit_path: who asks in a unit of its own has the programs to do so")


main()
