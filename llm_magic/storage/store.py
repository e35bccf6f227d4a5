"""A diskcache that holds text under text keys, forever, and nothing else.

diskcache gives us what is hard: many threads and processes, one file, nothing lost when a process
is killed. What it does by default and we do not want is switched off: pickling, values in separate
files, eviction (``least-recently-stored`` from 1 GiB on), statistics that turn reads into writes.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diskcache

from llm_magic.exceptions import (
    DamagedStoreError,
    DiskFullError,
    StoreError,
    UnsafeStoreError,
)
from llm_magic.storage import layout
from llm_magic.storage.database import is_forbidden, is_full, open_read_only, our_error
from llm_magic.storage.folders import identity, set_aside, writable
from llm_magic.storage.preflight import LARGEST_VALUE, inspect

__all__ = ["Store"]

_MODE_RAW = 1
# Rows that a walk through the store reads at once.
_PAGE = 50

_SETTINGS = {
    "cull_limit": 0,
    "disk_min_file_size": 2**31 - 1,
    "eviction_policy": "none",
    "size_limit": 2**62,
    # Stated although they are the defaults: those in the file win over defaults.
    "sqlite_auto_vacuum": 1,
    "sqlite_cache_size": 2**13,
    "sqlite_journal_mode": "wal",
    # diskcache maps 64 MB by default; a truncated file would then kill the process with SIGBUS.
    "sqlite_mmap_size": 0,
    "sqlite_synchronous": 1,
    "statistics": 0,
    "tag_index": 0,
}


def _checked(mode: Any, filename: Any, value: Any) -> str:
    if mode != _MODE_RAW or filename is not None or type(value) is not str:
        raise UnsafeStoreError("the store holds a value that is not text")
    return value


class TextDisk(diskcache.Disk):  # type: ignore[misc]
    """Text in, text out: no pickle, no files."""

    def put(self, key: Any) -> tuple[Any, bool]:
        if type(key) is not str:
            raise TypeError(f"a key of the store is text, not {type(key).__name__}")
        return key, True

    def get(self, key: Any, raw: Any) -> str:
        if not raw or type(key) is not str:
            raise UnsafeStoreError("the store holds a key that is not text")
        return key

    def store(self, value: Any, read: bool, key: Any = None) -> tuple[int, int, None, str]:
        if type(value) is not str or read:
            raise TypeError(f"a value of the store is text, not {type(value).__name__}")
        if len(value) > LARGEST_VALUE:
            raise StoreError(f"an answer of {len(value):,} characters is too large to store")
        return 0, _MODE_RAW, None, value

    def fetch(self, mode: Any, filename: Any, value: Any, read: bool) -> str:
        if read:
            raise UnsafeStoreError("a value of the store is never a file")
        return _checked(mode, filename, value)

    def filename(self, key: Any = None, value: Any = None) -> Any:
        raise UnsafeStoreError("a value of the store is never a file")

    def remove(self, file_path: Any) -> None:
        raise UnsafeStoreError("the store names a file; nothing was removed")


def _open_cache(folder: Path) -> Any:
    return diskcache.Cache(str(folder), timeout=30, disk=TextDisk, **_SETTINGS)


class Store:
    """Text under text keys, shared by threads and processes.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the database; made if it can be. In a read-only folder the store reads what is
        there, and writing raises. On a full disk too, until there is space again.
    read_only : bool
        Read what is there, and write nothing, wherever the folder is.

    Raises
    ------
    UnsafeStoreError
        When the folder holds something we never write; it is left as it is.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.folder = folder
        self._file = folder / "cache.db"
        # As text: every look-up asks for this file, and a path is made a text each time.
        self._place = str(self._file)
        self.read_only = read_only or not writable(folder)
        self._lock = threading.Lock()
        self._cache: Any = None
        self._identity: tuple[int, int] | None = None
        self._reader: sqlite3.Connection | None = None
        try:
            self._open()
        except DamagedStoreError as error:
            if self.read_only:
                message = f"{error}. It is not used; recordings are read from the cassette"
                warnings.warn(message, RuntimeWarning, stacklevel=4)
                return
            self._set_aside(error)
            self._open()

    def _open(self) -> None:
        inspect(self.folder)
        if self.read_only:
            self._open_reader()
            return
        if os.path.expandvars(os.path.expanduser(str(self.folder))) != str(self.folder):
            raise StoreError(f"{self.folder}: diskcache cannot use a path with $ or ~ in it")
        try:
            if not self._file.exists():
                self._create()
            self._open_writer()
        except (sqlite3.Error, OSError) as error:
            if is_forbidden(error):
                self.read_only = True
            elif not is_full(error):
                raise our_error(self.folder, "cannot be opened", error) from None
            self._open_reader()

    def _open_writer(self) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        cache = _open_cache(self.folder)
        try:
            layout.mend(cache._con)
        except BaseException:
            cache.close()
            raise
        self._identity = identity(self._place)
        self._close_reader()
        self._cache = cache

    def _create(self) -> None:
        # Made beside its place and moved there whole: other processes never meet a half-made
        # store, and an empty file always means damage.
        parent = self.folder.parent
        # Not its parents: a notebook's folder that was deleted is not brought back.
        parent.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent, prefix=f".{self.folder.name}.") as scratch:
            made = Path(scratch) / "new"
            made.mkdir(mode=0o700)
            layout.make(made / "cache.db")
            _open_cache(made).close()
            # Another process may have been faster; its store is as good.
            with contextlib.suppress(OSError):
                made.rename(self.folder)

    def _open_reader(self) -> None:
        self._close_reader()
        path = self._file
        if path.exists():
            self._reader = open_read_only(path)

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _set_aside(self, error: DamagedStoreError) -> None:
        with contextlib.suppress(DamagedStoreError):
            inspect(self.folder)
            # Another process has done it since, and begun a new one.
            return
        aside = set_aside(self.folder)
        warnings.warn(
            f"{error}. It was moved to {aside.name}; recordings are read from the cassette, and a"
            " new store was begun. %llm cassette repair brings over what can be read of it",
            RuntimeWarning,
            stacklevel=5,
        )

    def get(self, key: str) -> str | None:
        """The text under a key, or None."""
        try:
            if not self._is_in_place():
                self._reopen()
            rows = self._fetch(
                "SELECT mode, filename, value FROM Cache WHERE key = ? AND raw = 1", (key,)
            )
            return _checked(*rows[0]) if rows else None
        except (sqlite3.Error, UnicodeError) as error:
            raise StoreError(f"{self.folder} cannot be read: {error}") from None

    def set(self, key: str, value: str) -> None:
        """Store text; when this returns it is on disk.

        Raises
        ------
        StoreError
            When it cannot be written: a read-only folder, a full disk, half a surrogate pair.
        """
        with self._writing() as cache:
            cache.set(key, value)

    def delete(self, key: str) -> None:
        """Forget what is under a key, if anything is."""
        with self._writing() as cache:
            cache.delete(key)

    def update(self, key: str, change: Any) -> None:
        """Replace the text under a key by ``change(text or None)``, in one transaction.

        ``change`` returns the new text, or None to forget the key; it must not wait for anything.
        """
        with self._writing() as cache:
            old = cache.get(key)
            new = change(old)
            if new is None:
                cache.delete(key)
            elif new != old:
                cache.set(key, new)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the store for several changes; other writers wait, readers do not."""
        with self._writing():
            yield

    @contextlib.contextmanager
    def erasing(self) -> Iterator[None]:
        """As :meth:`transaction`; what is deleted in it does not stay in the file's free pages."""
        with self.transaction():
            connection = self._cache._con
        connection.execute("PRAGMA secure_delete = ON")
        try:
            with self.transaction():
                yield
            # Older answers, which were overwritten, are in free pages too.
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            warnings.warn(
                f"{self.folder} is in use elsewhere ({error}): what was removed may still be in its"
                " free pages; close other kernels and do it again",
                RuntimeWarning,
                stacklevel=4,
            )
        finally:
            connection.execute("PRAGMA secure_delete = OFF")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Any]:
        """A write transaction; within one of the same thread, a part of it.

        diskcache's own ``transact(retry=True)`` waits for ever for a lock, takes any error for a
        lock, and is left open by an interrupt at the wrong moment. This one waits as long as the
        connection's timeout, and whatever ends it, nothing of it stays open.
        """
        nested = self._cache
        if nested is not None and nested._txn_id == threading.get_ident():
            with self._typed_errors():
                yield nested
            return
        with self._typed_errors():
            cache = self._begin()
            connection = cache._con
            try:
                cache._txn_id = threading.get_ident()
                yield cache
                # Before the lock is given back: the next thread sets its own id.
                cache._txn_id = None
                connection.execute("COMMIT")
            except BaseException:
                if cache._txn_id == threading.get_ident():
                    cache._txn_id = None
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _typed_errors(self) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except (sqlite3.Error, diskcache.Timeout, OSError, UnicodeError) as error:
            raise our_error(self.folder, "cannot be written", error) from None

    def _begin(self) -> Any:
        """Begin a write transaction on the file that is in the store's place now."""
        while True:
            if not self._is_in_place():
                self._reopen()
            cache = self._cache if self._cache is not None else self._open_again()
            connection = cache._con
            connection.execute("BEGIN IMMEDIATE")
            try:
                # A repair may have held the lock until now, and put another file here.
                if self._identity == identity(self._place):
                    return cache
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("ROLLBACK")

    def _open_again(self) -> Any:
        """Open for writing a store that could only be read: the disk may have space again."""
        with self._lock:
            if self._cache is None and not self.read_only:
                self._open()
            if self._cache is None:
                if self.read_only:
                    raise StoreError(f"{self.folder} is read-only; nothing was changed")
                raise DiskFullError(f"{self.folder} cannot be written: the disk is full")
            return self._cache

    def _reopen(self) -> None:
        """Begin anew: somebody deleted the store, and writes to its old file would be lost."""
        with self._lock:
            if self._is_in_place():
                return
            lost, self._cache = self._cache, None
            if lost is not None:
                lost.close()
            self._open()
        if lost is None:
            return
        message = f"{self.folder} was deleted or replaced; a new store was begun"
        warnings.warn(message, RuntimeWarning, stacklevel=7)

    def _is_in_place(self) -> bool:
        if (cache := self._cache) is None:
            return self.read_only or self._reader is not None
        if cache._txn_id == threading.get_ident():
            return True
        return self._identity == identity(self._place)

    def items(self, prefix: str = "") -> Iterator[tuple[str, str]]:
        """Keys that begin with the prefix and their text, in the order of the keys."""
        # diskcache can only walk all keys; the range uses the index on (key, raw). Page by page: a
        # store may be larger than the memory.
        query = "SELECT key, value FROM Cache WHERE raw = 1 AND key {} ? AND key < ? ORDER BY key"
        last, comparison = prefix, ">="
        while True:
            page = f"{query.format(comparison)} LIMIT {_PAGE}"
            rows = self._fetch(page, (last, prefix + "\U0010ffff"))
            for key, value in rows:
                if type(key) is not str or type(value) is not str:
                    raise UnsafeStoreError("the store holds a value that is not text")
                yield key, value
            if len(rows) < _PAGE:
                return
            last, comparison = rows[-1][0], ">"

    def _fetch(self, query: str, values: tuple[str, ...]) -> list[tuple[Any, ...]]:
        try:
            if (cache := self._cache) is not None:
                return list(cache._sql(query, values))
            with self._lock:
                return list(self._reader.execute(query, values)) if self._reader else []
        except sqlite3.Error as error:
            raise StoreError(f"{self.folder} cannot be read: {error}") from None

    def close(self) -> None:
        """Close the connections; the store is then one file."""
        if self._cache is not None:
            self._cache.close()
        self._close_reader()
