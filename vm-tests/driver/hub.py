"""The network between the guests: every frame one guest sends reaches all the others. It lives in this process, so nothing
is left behind and no port of this machine is taken."""

import os
import socket
import struct
import threading


class Hub:
    """A switch with as many sockets as guests."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.guests: list[socket.socket] = []
        self.lock = threading.Lock()
        self.door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.door.bind(path)
        self.door.listen()
        threading.Thread(target=self._welcome, daemon=True).start()

    def _welcome(self) -> None:
        while True:
            try:
                guest, _ = self.door.accept()
            except OSError:
                return
            with self.lock:
                self.guests.append(guest)
            threading.Thread(target=self._carry, args=(guest,), daemon=True).start()

    def _carry(self, guest: socket.socket) -> None:
        """QEMU puts the length of each frame before it, four bytes, big-endian."""
        while (head := _exactly(guest, 4)) and (frame := _exactly(guest, struct.unpack(">I", head)[0])):
            for other in self._others(guest):
                try:
                    other.sendall(head + frame)
                except OSError:
                    self._forget(other)
        self._forget(guest)

    def _others(self, guest: socket.socket) -> list[socket.socket]:
        with self.lock:
            return [other for other in self.guests if other is not guest]

    def _forget(self, guest: socket.socket) -> None:
        with self.lock:
            if guest in self.guests:
                self.guests.remove(guest)

    def close(self) -> None:
        self.door.close()
        for guest in self._others(self.door):
            guest.close()
        os.unlink(self.path)


def _exactly(source: socket.socket, length: int) -> bytes:
    """`length` bytes, or none at all when the other side is gone."""
    received = b""
    while len(received) < length:
        try:
            part = source.recv(length - len(received))
        except OSError:
            return b""
        if not part:
            return b""
        received += part
    return received
