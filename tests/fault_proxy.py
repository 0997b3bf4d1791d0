"""A proxy before a server of HTTP that breaks the connections that it is told to: what networks and stores do."""

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

PIECE = 1024
BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
LOGIN = b"<html><body>Who are you?</body></html>"

Fault = str | int | tuple[str, int] | None
"""Of a request: "refuse", "hang", an HTTP status, ("reset", bytes of the answer), ("slow", bytes a second), ("instead",
blank bytes of another answer), "login" (the page of a network that wants one first), "wrong" (as many bytes, the last
ones others), or none."""


class FaultProxy:
    """Passes on one request a connection, unless ``fault`` says otherwise of its first line; ``asked`` has these."""

    def __init__(self, host: str, port: int) -> None:
        self._server = host, port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._over = threading.Event()
        self.fault: Callable[[str], Fault] = lambda _: None
        self.asked: list[str] = []
        self.url = "http://{}:{}".format(*self._listening.getsockname())
        threading.Thread(target=self._accept, daemon=True).start()

    def break_all(self, fault: Fault, only: str = "") -> None:
        """Break every request from now on, or those whose first line holds ``only``."""
        self.fault = lambda line: fault if only in line else None

    def break_for(self, seconds: float, fault: Fault, only: str = "") -> None:
        """Break them for so long from the first of them on."""
        began: list[float] = []

        def broken(line: str) -> Fault:
            if only not in line:
                return None
            began.append(time.monotonic())
            return fault if time.monotonic() - began[0] < seconds else None

        self.fault = broken

    def heal(self) -> None:
        """Break nothing any more; what hangs goes on."""
        self.fault = lambda _: None

    def close(self) -> None:
        """End."""
        self._over.set()
        self._listening.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            with suppress(OSError):
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(PIECE)
                if not piece:
                    return
                head += piece
            line = head.split(b"\r\n", 1)[0].decode("latin-1")
            self.asked.append(line)
            fault = self.fault(line)
            while fault == "hang" and not self._over.is_set():
                time.sleep(0.05)
                fault = self.fault(line)
            if fault == "refuse":
                _reset(client)
            elif isinstance(fault, int):
                status = f"HTTP/1.1 {fault} Broken\r\nContent-Length: {len(BUSY)}\r\nConnection: close\r\n\r\n"
                client.sendall(status.encode() + (b"" if line.startswith("HEAD") else BUSY))
            elif fault == "login":
                status = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n"
                client.sendall(status + (b"" if line.startswith("HEAD") else LOGIN))
            elif isinstance(fault, tuple) and fault[0] == "instead":
                status = f"HTTP/1.1 200 OK\r\nContent-Length: {fault[1]}\r\nConnection: close\r\n\r\n"
                client.sendall(status.encode() + (b"" if line.startswith("HEAD") else b" " * fault[1]))
            else:
                self._relay(client, head, fault)

    def _relay(self, client: socket.socket, head: bytes, fault: Fault) -> None:
        kind, number = fault if isinstance(fault, tuple) else ("", 0)
        with socket.create_connection(self._server) as server:
            first, rest = head.split(b"\r\n", 1)
            server.sendall(first + b"\r\nConnection: close\r\n" + rest)
            uploaded = re.search(rb"(?i)\ncontent-length: *(\d+)", rest)
            lacking = int(uploaded[1]) - len(rest.split(b"\r\n\r\n", 1)[1]) if uploaded else 0
            while lacking > 0 and (piece := client.recv(PIECE)):
                server.sendall(piece)
                lacking -= len(piece)
            passed, body = 0, b""
            while piece := server.recv(PIECE):
                if fault == "wrong":
                    body += piece
                    continue
                if kind == "reset" and passed + len(piece) > number:
                    client.sendall(piece[: number - passed])
                    _reset(client)
                    return
                client.sendall(piece)
                passed += len(piece)
                if kind == "slow":
                    time.sleep(len(piece) / number)
            client.sendall(body[:-20] + bytes(byte ^ 0xFF for byte in body[-20:]))


def _reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def fault_proxy(host: str, port: int) -> Iterator[FaultProxy]:
    """A proxy before the server there."""
    proxy = FaultProxy(host, port)
    yield proxy
    proxy.close()
