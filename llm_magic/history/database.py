"""The ledger's file: opened safely, shared by threads, and found again when it was moved."""

from __future__ import annotations

import os
import sqlite3
import threading
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llm_magic.config import Workspace
from llm_magic.exceptions import DamagedStoreError, DiskFullError, StoreError
from llm_magic.history.migrations import migrate, refuse_strange
from llm_magic.storage import (
    connect,
    identity,
    is_full,
    prepare_working_folder,
    refuse_folder,
    set_aside,
    writable,
)

__all__ = ["LedgerFile"]

# How long the write-ahead log gets before its pages are moved into the database: 16 MB. At SQLite's
# own 4 MB every row pays for the moving and its two syncs what a tenth of a replay takes.
_LOG_PAGES = 4000


# Every ledger that this process has open.
_open_files: weakref.WeakSet[LedgerFile] = weakref.WeakSet()


def _unlock() -> None:
    # A lock that another thread of the parent held would stay held for ever in the child.
    for file in _open_files:
        file._lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_unlock)


class LedgerFile:
    """The file of one folder, with its connection; kept in memory where nothing can be written.

    Attributes
    ----------
    path : pathlib.Path or None
        The file; None in memory.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._working = workspace.working
        self.path: Path | None = workspace.working / "history.db"
        existing = self.path
        refuse_folder(workspace.working)
        if not writable(existing.parent) or (
            existing.exists() and not os.access(existing, os.W_OK)
        ):
            self.path = None
        self._lock = threading.RLock()
        _open_files.add(self)
        self._pid = os.getpid()
        self._opened = 0
        try:
            if self.path is not None:
                prepare_working_folder(workspace.working)
            self._connection = self._open()
        except DiskFullError as error:
            self.path = None
            self._connection = self._open()
            message = f"{error}. The calls of this process are counted in memory only"
            warnings.warn(message, RuntimeWarning, stacklevel=5)
        if self.path is None:
            self._copy(existing)

    def _copy(self, existing: Path) -> None:
        """Rows of a ledger that cannot be written: to be read, and for this process to go on."""
        if existing.exists():
            source = connect(existing, read_only=True)
            try:
                refuse_strange(source, existing)
                source.backup(self._connection)
                migrate(self._connection, existing)
            finally:
                source.close()

    def _open(self) -> sqlite3.Connection:
        try:
            connection = connect(self.path)
        except DamagedStoreError as error:
            assert self.path is not None
            aside = set_aside(self.path)
            message = (
                f"{error}. It was moved to {aside.name}; a new ledger was begun. %llm cassette"
                " repair brings over what can be read of it"
            )
            warnings.warn(message, RuntimeWarning, stacklevel=6)
            connection = connect(self.path)
        try:
            connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
            refuse_strange(connection, self.path)
            migrate(connection, self.path)
        except sqlite3.Error as error:
            connection.close()
            kind = DiskFullError if is_full(error) else StoreError
            raise kind(f"the ledger {self.path}: {error}") from None
        except BaseException:
            connection.close()
            raise
        self._identity = identity(self.path) if self.path is not None else None
        self._opened += 1
        return connection

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._pid != os.getpid():
                # SQLite connections must not cross a fork.
                self._connection, self._pid = self._open(), os.getpid()
            elif self.path is not None and identity(self.path) != self._identity:
                # Deleted or set aside under us: rows written to the old file would be lost.
                prepare_working_folder(self._working)
                self._connection.close()
                self._connection = self._open()
            try:
                yield self._connection
            except sqlite3.Error as error:
                kind = DiskFullError if is_full(error) else StoreError
                raise kind(f"the ledger {self.path or 'in memory'}: {error}") from None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._database() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the ledger's file."""
        with self._lock:
            self._connection.close()
