"""The listening socket and its threads, one for each client."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from threading import Event, Lock, Thread, current_thread

from llm_magic.testing.connection import (
    WAIT_LIMIT,
    Connection,
    HTTPRequest,
    NotHTTPError,
)

_BACKLOG = 256
_ACCEPT_PAUSE = 0.05


class Listener:
    """Accept clients on a free port of 127.0.0.1 and hand their requests to `handle`.

    `close` leaves no thread and no socket behind, whatever they were waiting for.
    """

    def __init__(self, handle: Callable[[Connection, HTTPRequest], None]) -> None:
        self._handle = handle
        self._serving: dict[Thread, Connection] = {}
        self._lock = Lock()
        self._closing = Event()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self.port: int = self._socket.getsockname()[1]
        self._name = f"fake-llm-{self.port}"
        self._accepting = Thread(target=self._accept, name=self._name, daemon=True)
        self._accepting.start()

    def close(self) -> None:
        """Stop listening, break off every connection and wait for the threads to end."""
        self._closing.set()
        self._wake()
        self._accepting.join(WAIT_LIMIT)
        self._socket.close()
        with self._lock:
            serving = dict(self._serving)
        for connection in serving.values():
            connection.drop()
        for thread in serving:
            thread.join(WAIT_LIMIT)

    def _wake(self) -> None:
        # Closing a socket does not wake the thread that accepts on it; a client does.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._socket.accept()
            except OSError:
                # Out of file descriptors: others will be closed, and this client waits in line.
                self._closing.wait(_ACCEPT_PAUSE)
                continue
            connection = Connection(client)
            thread = Thread(target=self._serve, args=[connection], name=self._name, daemon=True)
            with self._lock:
                self._serving[thread] = connection
            thread.start()

    def _serve(self, connection: Connection) -> None:
        # What ends a connection here is an idle client, or one that does not speak HTTP.
        with contextlib.closing(connection), contextlib.suppress(OSError, NotHTTPError):
            while request := connection.read_request():
                self._handle(connection, request)
                if connection.dropped or not request.keeps_alive:
                    break
        with self._lock:
            del self._serving[current_thread()]
