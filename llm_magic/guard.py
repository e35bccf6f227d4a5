"""What stands guard while a notebook is verified: no network, and its files stay as they are.

An IPython extension that is loaded before any code of the user. It tells what it sees in a file of
events, one JSON object a line::

    {"event": "ready"}
    {"event": "network", "what": "a connection to api.openai.com:443"}
    {"event": "mode", "mode": "CAPTURE", "origin": "argument"}
    {"event": "miss", "key": "3f2a...", "ordinal": 0, "text": "no recording for ..."}

Python's audit events (PEP 578) come from the socket module itself, so every client that is written
in Python is met, whatever it is called. What is not met: programs that a cell starts, and libraries
in C that open sockets themselves, such as gRPC, curl and ZeroMQ, with which the kernel talks to its
front end.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["EVENTS", "VARIABLE", "Guard", "load_ipython_extension"]

# Names the file of events.
VARIABLE = "LLM_MAGIC_VERIFY"

# What each event tells.
EVENTS: Mapping[str, Mapping[str, type]] = {
    "ready": {},
    "network": {"what": str},
    "mode": {"mode": str, "origin": str},
    "miss": {"key": str, "ordinal": int, "text": str},
}

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Guard:
    """Refuses connections and changes of some files, and writes down what was refused.

    Parameters
    ----------
    events : pathlib.Path
        File of events; it is appended to.
    protected : pathlib.Path
        Files that are not written, moved, linked to or removed.
    """

    def __init__(self, events: Path, *protected: Path) -> None:
        # Kept open: writing into it must not be an event itself.
        self._file = os.open(events, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        named = [Path(os.path.realpath(path)) for path in protected]
        # A folder above them that is moved or removed takes them along.
        self._protected = {str(path) for one in named for path in (one, *one.parents)}
        self._watches: Mapping[str, Callable[..., None]] = {
            "open": self._opens,
            "os.remove": self._changes,
            "os.link": self._moves,
            "os.rename": self._moves,
            "os.truncate": self._changes,
            "shutil.rmtree": self._changes,
            "socket.connect": self._connects,
            "socket.getaddrinfo": self._looks_up,
            "socket.gethostbyaddr": self._looks_up,
            "socket.gethostbyname": self._looks_up,
            "socket.sendmsg": self._connects,
            "socket.sendto": self._connects,
        }

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """What :func:`sys.addaudithook` calls."""
        watch = self._watches.get(event)
        if watch is not None:
            watch(*arguments)

    def tell(self, event: str, **about: Any) -> None:
        """Write an event down."""
        line = json.dumps({"event": event, **about}) + "\n"
        os.write(self._file, line.encode())

    def after_cell(self, result: Any) -> None:
        """Tell what came up in the cell that has just ended."""
        later = sys.modules.get("llm_magic.history.later")
        if later is not None:
            # The ledger is read now, for what the cell replayed.
            later.flush()
        config = sys.modules.get("llm_magic.config")
        while config is not None and config.overruled:
            mode, origin = config.overruled.pop()
            self.tell("mode", mode=str(mode), origin=origin)
        error = result.error_in_exec or result.error_before_exec
        exceptions = sys.modules.get("llm_magic.exceptions")
        if exceptions is not None and isinstance(error, exceptions.ReplayMissError):
            self.tell("miss", key=error.key, ordinal=error.ordinal, text=_why(error))

    def _connects(self, _: Any, address: Any) -> None:
        # A path is a socket of this machine; sendmsg() without an address was connected before.
        if isinstance(address, tuple):
            self._refuse(f"a connection to {address[0]}:{address[1]}")

    def _looks_up(self, host: Any, *_: Any) -> None:
        name = host.decode(errors="replace") if isinstance(host, bytes) else host
        if not name or name in ("localhost", socket.gethostname()):
            return
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(name.partition("%")[0])
            return
        self._refuse(f"a look-up of {name}")

    def _refuse(self, what: str) -> None:
        self.tell("network", what=what)
        raise PermissionError(
            f"llm-magic verify: a saved notebook runs without a network; {what} was refused"
        )

    def _opens(self, path: Any, mode: Any, flags: Any) -> None:
        if isinstance(flags, int) and flags & _WRITES:
            self._changes(path)

    def _moves(self, source: Any, target: Any, *_: Any) -> None:
        self._changes(source)
        self._changes(target)

    def _changes(self, path: Any, *_: Any) -> None:
        if isinstance(path, (str, bytes, os.PathLike)):
            named = os.path.realpath(os.fsdecode(path))
            if named in self._protected:
                raise PermissionError(
                    f"llm-magic verify: {os.path.basename(named)} is being verified; it was not"
                    " changed"
                )


def _why(error: Any) -> str:
    """The error's message, with the miss doctor's lines where it has none of them yet."""
    return "\n".join([str(error), *error.__notes__])


def load_ipython_extension(shell: Any) -> None:
    """Begin to guard; there is no end to it but that of the process."""
    notebook = Path(os.environ["LLM_MAGIC_NOTEBOOK"])
    cassette = notebook.with_name(f"{notebook.stem}.cassette.jsonl")
    guard = Guard(Path(os.environ[VARIABLE]), notebook, cassette)
    shell.events.register("post_run_cell", guard.after_cell)
    sys.addaudithook(guard.audit)
    guard.tell("ready")
