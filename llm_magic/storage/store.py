"""A diskcache that holds text under text keys, forever, and nothing else.

diskcache gives us what is hard: many threads and processes, one file, nothing lost when a process
is killed. What it does by default and we do not want is switched off: pickling, values in separate
files, eviction (``least-recently-stored`` from 1 GiB on), statistics that turn reads into writes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import tempfile
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import diskcache

from llm_magic.exceptions import DamagedStoreError, StoreError, UnsafeStoreError
from llm_magic.storage.database import is_damage, read_only_uri
from llm_magic.storage.folders import writable
from llm_magic.storage.preflight import LARGEST_VALUE, inspect

__all__ = ["Store"]

_MODE_RAW = 1

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


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(folder / "cache.db")
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _open_cache(folder: Path) -> Any:
    return diskcache.Cache(str(folder), timeout=30, disk=TextDisk, **_SETTINGS)


class Store:
    """Text under text keys, shared by threads and processes.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the database; made if it can be. In a read-only folder the store reads what is
        there, and writing raises.

    Raises
    ------
    UnsafeStoreError
        When the folder holds something we never write; it is left as it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.read_only = not writable(folder)
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
            if not (self.folder / "cache.db").exists():
                self._create()
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._cache = _open_cache(self.folder)
            self._identity = _identity(self.folder)
        except sqlite3.DatabaseError as error:
            if "readonly" in str(error) or "unable to open" in str(error):
                self.read_only = True
                self._open_reader()
                return
            kind = DamagedStoreError if is_damage(error) else StoreError
            raise kind(f"{self.folder} cannot be opened: {error}") from None
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise StoreError(f"{self.folder} cannot be opened: {error}") from None
            self.read_only = True
            self._open_reader()

    def _create(self) -> None:
        # Made beside its place and moved there whole: other processes never meet a half-made
        # store, and an empty file always means damage.
        parent = self.folder.parent
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent, prefix=f".{self.folder.name}.") as scratch:
            made = Path(scratch) / "new"
            made.mkdir(mode=0o700)
            _open_cache(made).close()
            # Another process may have been faster; its store is as good.
            with contextlib.suppress(OSError):
                made.rename(self.folder)

    def _open_reader(self) -> None:
        path = self.folder / "cache.db"
        if not path.exists():
            return
        try:
            self._reader = sqlite3.connect(
                read_only_uri(path), uri=True, timeout=10, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise StoreError(f"{path} cannot be read: {error}") from None

    def _set_aside(self, error: DamagedStoreError) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        aside = self.folder.with_name(f"{self.folder.name}.damaged-{stamp}")
        self.folder.rename(aside)
        warnings.warn(
            f"{error}. It was moved to {aside.name}; recordings are read from the cassette,"
            " and a new store was begun",
            RuntimeWarning,
            stacklevel=5,
        )

    def get(self, key: str) -> str | None:
        """The text under a key, or None."""
        try:
            if self._cache is not None:
                self._reopen_if_deleted()
                value: str | None = self._cache.get(key)
                return value
            if self._reader is not None:
                with self._lock:
                    row = self._reader.execute(
                        "SELECT mode, filename, value FROM Cache WHERE key = ? AND raw = 1", (key,)
                    ).fetchone()
                return _checked(*row) if row else None
        except (sqlite3.Error, UnicodeError) as error:
            raise StoreError(f"{self.folder} cannot be read: {error}") from None
        return None

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
        if self._cache is None:
            raise StoreError(f"{self.folder} is read-only; nothing was changed")
        self._reopen_if_deleted()
        cache, thread = self._cache, threading.get_ident()
        try:
            if cache._txn_id == thread:
                yield cache
                return
            connection = cache._con
            try:
                connection.execute("BEGIN IMMEDIATE")
                cache._txn_id = thread
                yield cache
                # Before the lock is given back: the next thread sets its own id.
                cache._txn_id = None
                connection.execute("COMMIT")
            except BaseException:
                if cache._txn_id == thread:
                    cache._txn_id = None
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except (sqlite3.Error, diskcache.Timeout, OSError, UnicodeError) as error:
            raise StoreError(f"{self.folder} cannot be written: {error}") from None

    def _reopen_if_deleted(self) -> None:
        """Begin anew when somebody deleted the store: writes to its old file would be lost."""
        if self._cache._txn_id == threading.get_ident() or self._identity == _identity(self.folder):
            return
        with self._lock:
            if self._identity != _identity(self.folder):
                self._cache.close()
                self._open()
                message = f"{self.folder} was deleted or replaced; a new store was begun"
                warnings.warn(message, RuntimeWarning, stacklevel=6)

    def items(self, prefix: str = "") -> Iterator[tuple[str, str]]:
        """Keys that begin with the prefix and their text, in the order of the keys."""
        # diskcache can only walk all keys; the range uses the index on (key, raw).
        query = "SELECT key, value FROM Cache WHERE raw = 1 AND key >= ? AND key < ? ORDER BY key"
        bounds = (prefix, prefix + "\U0010ffff")
        try:
            if self._cache is not None:
                rows = self._cache._sql(query, bounds).fetchall()
            elif self._reader is not None:
                with self._lock:
                    rows = self._reader.execute(query, bounds).fetchall()
            else:
                rows = []
        except sqlite3.Error as error:
            raise StoreError(f"{self.folder} cannot be read: {error}") from None
        for key, value in rows:
            if type(key) is not str or type(value) is not str:
                raise UnsafeStoreError("the store holds a value that is not text")
            yield key, value

    def close(self) -> None:
        """Close the connections; the store is then one file."""
        if self._cache is not None:
            self._cache.close()
        if self._reader is not None:
            self._reader.close()
            self._reader = None
