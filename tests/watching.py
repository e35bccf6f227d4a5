"""Which files in a folder this process opens, by the audit events of Python.

SQLite opens its files by itself, and the logs beside a database with it; Python tells only which
database. So a database counts as opened with all that may stand beside it. A file is in the folder
also where a link leads to it, or where it is one of ours under a second name.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_EVENTS = ("open", "os.listdir", "os.scandir", "sqlite3.connect")
_BESIDE = ("", "-wal", "-journal", "-shm")

_watched: dict[str, tuple[set[tuple[int, int]], list[str]]] = {}
_hooked = False


def opened_in(folder: Path) -> list[str]:
    """A list that grows by each opening of something in the folder, from now on."""
    global _hooked
    if not _hooked:
        # Nobody can take a hook away again, so there is one.
        sys.addaudithook(_hook)
        _hooked = True
    files = {_identity(path) for path in folder.rglob("*") if not path.is_symlink()}
    return _watched.setdefault(os.path.realpath(folder), (files, []))[1]


@contextmanager
def unwatched() -> Iterator[None]:
    """A block in which opening counts for nothing: what the test itself looks at."""
    kept = dict(_watched)
    _watched.clear()
    try:
        yield
    finally:
        _watched.update(kept)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watched or event not in _EVENTS:
        return
    try:
        paths = _paths(event, arguments[0])
    except (TypeError, ValueError):
        return
    for path in paths:
        real = os.path.realpath(path)
        for folder, (files, opened) in _watched.items():
            inside = real == folder or real.startswith(f"{folder}{os.sep}")
            if inside or (os.path.exists(real) and _identity(Path(real)) in files):
                opened.append(f"{event} {path}")


def _paths(event: str, named: Any) -> list[str]:
    if named is None or isinstance(named, int):
        return []
    path = os.fsdecode(named)
    if event != "sqlite3.connect":
        return [path]
    if path.startswith("file:"):
        path = unquote(urlsplit(path).path)
    return [path + ending for ending in _BESIDE]


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
