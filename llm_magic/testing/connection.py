"""One client's HTTP/1.1 connection, watched so that a client who hangs up is noticed at once."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from threading import Event

# No wait is longer than this, so that a mistake in a test is a failure and not a stuck run.
WAIT_LIMIT = 30.0
# How late a client that hangs up while a gate is closed may be noticed: a `threading.Event`
# and a socket cannot be waited for together.
GATE_TICK = 0.02

_LINE_LIMIT = 65_536
_REASONS = {status.value: status.phrase for status in HTTPStatus} | {529: "Overloaded"}
# `select` fails on file descriptors above 1023; `poll` is not there on Windows.
_Selector: type[selectors.BaseSelector] = getattr(
    selectors, "PollSelector", selectors.SelectSelector
)


class HangUpError(ConnectionError):
    """The client went away before it had its answer."""


class NotHTTPError(Exception):
    """What came is not an HTTP request, or not all of one."""


@dataclass(frozen=True)
class HTTPRequest:
    """A request as it came over the wire, with lower-case header names."""

    method: str
    target: str
    version: str
    headers: dict[str, str]
    raw: bytes

    @property
    def keeps_alive(self) -> bool:
        """Whether another request may follow; not after HEAD, whose answer has no body."""
        closes = self.headers.get("connection", "").lower() == "close"
        return self.version == "HTTP/1.1" and self.method != "HEAD" and not closes


class Connection:
    """Read requests from a socket and write answers to it.

    Everything but `drop` is for the one thread that serves the connection.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(WAIT_LIMIT)
        with contextlib.suppress(OSError):
            # Words go out one by one, not when a packet is full. (macOS refuses the option on
            # the socket of a client that has left already.)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.dropped = False
        self._socket = sock
        self._reader = sock.makefile("rb")
        self._selector = _Selector()
        self._selector.register(sock, selectors.EVENT_READ)

    def read_request(self) -> HTTPRequest | None:
        """The next request, or `None` when the client has no more."""
        if not self._reader.peek(1):
            return None
        line = self._read_line()
        try:
            method, target, version = line.split()
            headers = self._read_headers()
            if headers.get("expect", "").lower() == "100-continue":
                self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
            return HTTPRequest(method, target, version, headers, self._read_body(headers))
        except ValueError as error:
            raise NotHTTPError(line) from error

    def hung_up(self) -> bool:
        """Whether the client closed its end."""
        if not self._selector.select(0):
            return False
        try:
            return self._socket.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            return True

    def wait(self, seconds: float, *, gate: Event | None = None) -> bool:
        """Wait for the gate, or just for the time; whether the gate opened."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if gate is not None:
                if gate.wait(min(left, GATE_TICK)):
                    return True
            elif self._selector.select(left) and not self.hung_up():
                # The client sent its next request early: no hang-up can be seen behind it.
                time.sleep(GATE_TICK)
            self._check()
        return False

    def send(
        self, status: int, body: bytes, *, headers: Mapping[str, str], half: bool = False
    ) -> None:
        """Answer with a JSON body, or with only the first half of what the head promises."""
        head = {"content-type": "application/json", "content-length": str(len(body)), **headers}
        self._check()
        self._send(_head(status, head) + (body[: len(body) // 2] if half else body))

    def open_stream(self, *, headers: Mapping[str, str]) -> None:
        """Begin to answer with server-sent events."""
        head = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
        self._check()
        self._send(_head(200, {**head, "transfer-encoding": "chunked", **headers}))

    def send_events(self, events: bytes, *, last: bool = False) -> None:
        """Send a chunk of events, and with the last one the end of the body.

        The two go out together: the OpenAI SDK hangs up as soon as it has read `[DONE]`, which
        must not look like a client that left early.
        """
        chunk = b"%x\r\n%b\r\n" % (len(events), events) if events else b""
        self._check()
        self._send(chunk + (b"0\r\n\r\n" if last else b""))

    def drop(self) -> None:
        """Break the connection from our side; any thread may, and waits on it end."""
        self.dropped = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the connection and give its resources back."""
        self.drop()
        self._selector.close()
        self._reader.close()
        self._socket.close()

    def _check(self) -> None:
        if self.hung_up():
            raise HangUpError

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise HangUpError from error

    def _read_line(self) -> str:
        line = self._reader.readline(_LINE_LIMIT)
        if not line.endswith(b"\n"):
            raise NotHTTPError("a line does not end")
        return line.decode("latin-1").rstrip("\r\n")

    def _read_headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        while line := self._read_line():
            name, _, value = line.partition(":")
            name, value = name.strip().lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return headers

    def _read_body(self, headers: Mapping[str, str]) -> bytes:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return b"".join(iter(self._read_chunk, b""))
        return self._read_exactly(int(headers.get("content-length") or 0))

    def _read_chunk(self) -> bytes:
        size = int(self._read_line().partition(";")[0] or "0", 16)
        chunk = self._read_exactly(size)
        self._read_line()
        return chunk

    def _read_exactly(self, size: int) -> bytes:
        data = self._reader.read(size)
        if len(data) < size:
            raise NotHTTPError("the body ended early")
        return data


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, '')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
