"""The ledger's file: opened safely, shared by threads, and found again when it was moved."""

from __future__ import annotations

import atexit
import itertools
import os
import sqlite3
import threading
import warnings
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any

from llm_magic import notices
from llm_magic.config import Workspace
from llm_magic.exceptions import DamagedStoreError, DiskFullError, StoreError
from llm_magic.formats import counted
from llm_magic.history import later
from llm_magic.history.migrations import migrate, refuse_strange
from llm_magic.storage import (
    connect,
    identity,
    our_error,
    prepare_working_folder,
    refuse_folder,
    set_aside,
    writable,
)

__all__ = ["LedgerFile"]

# How long the write-ahead log gets before its pages are moved into the database: 16 MB. At SQLite's
# own 4 MB every row pays for the moving and its two syncs what a tenth of a replay takes.
_LOG_PAGES = 4000
# So many rows wait for each other at most.
_MOST_WAITING = 64


# What a value raises that cannot be stored; all else is about the file, and so about every row.
_OF_ONE_ROW = (
    ArithmeticError,
    TypeError,
    ValueError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)

# Every ledger that this process has open.
_open_files: weakref.WeakSet[LedgerFile] = weakref.WeakSet()


def _unlock() -> None:
    # A lock that another thread of the parent held would stay held for ever in the child; rows that
    # wait are the parent's to write.
    for file in _open_files:
        file._lock = threading.RLock()
        file._waiting = deque()


def _finish() -> None:
    # Also what nobody was asked to write: the caller was interrupted before.
    for file in list(_open_files):
        file.flush()


atexit.register(_finish)
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
        # Statements with their values; appended to and taken from without the lock.
        self._waiting: deque[tuple[str, Sequence[Any]]] = deque()
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
            connection = self._open_file()
        except DamagedStoreError as error:
            self._move_aside(error)
            connection = self._open_file()
        self._identity = identity(self.path) if self.path is not None else None
        self._opened += 1
        return connection

    def _open_file(self) -> sqlite3.Connection:
        connection = connect(self.path)
        try:
            connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
            refuse_strange(connection, self.path)
            migrate(connection, self.path)
        except sqlite3.Error as error:
            connection.close()
            raise self._our_error(error) from None
        except BaseException:
            connection.close()
            raise
        return connection

    def _our_error(self, error: sqlite3.Error) -> StoreError:
        return our_error(f"the ledger {self.path or 'in memory'}", "cannot be used", error)

    def _move_aside(self, error: DamagedStoreError) -> None:
        """Move a file that is broken out of the way, and say so."""
        assert self.path is not None
        aside = set_aside(self.path)
        message = (
            f"{error}. It was moved to {aside.name}; a new ledger was begun. %llm cassette"
            " repair brings over what can be read of it"
        )
        warnings.warn(message, RuntimeWarning, stacklevel=7)

    def _write_soon(self, statement: str, values: Sequence[Any]) -> None:
        """Have a row written together with others, and before anything else is done here."""
        self._waiting.append((statement, values))
        if len(self._waiting) >= _MOST_WAITING:
            self.flush()
        else:
            later.soon(self)

    def flush(self) -> None:
        """Write the rows that wait for others, in one transaction.

        Where they cannot be written, a warning tells how many are missing: nobody who asks for
        something else gets an error of theirs.
        """
        with self._lock:
            if not self._waiting:
                return
            rows: list[tuple[str, Sequence[Any]]] = []
            try:
                while self._waiting:
                    rows.append(self._waiting.popleft())
                try:
                    refused = self._write_all(rows)
                except DamagedStoreError:
                    # There is a new file now.
                    refused = self._write_all(rows)
                if refused:
                    _tell_missing(len(refused), refused[0])
            except Exception as error:
                _tell_missing(len(rows), error)
            except BaseException:
                # Interrupted: they go on waiting.
                self._waiting.extendleft(reversed(rows))
                raise

    def _write_all(self, rows: Sequence[tuple[str, Sequence[Any]]]) -> list[Exception]:
        with self._connected() as database, _committed(database):
            return _write(database, rows)

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._waiting:
                self.flush()
            with self._connected() as database:
                yield database

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
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
                told = self._our_error(error)
                if isinstance(told, DamagedStoreError) and self.path is not None:
                    self._begin_anew(told)
                raise told from None

    def _begin_anew(self, error: DamagedStoreError) -> None:
        """Have a new file: else every call from now on would fail as this one did."""
        self._connection.close()
        if self.path is not None and identity(self.path) == self._identity:
            # Nobody else has done it since.
            self._move_aside(error)
        self._connection = self._open()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._database() as database, _committed(database):
            yield database

    def close(self) -> None:
        """Write what waits, and close the ledger's file."""
        with self._lock:
            self.flush()
            self._connection.close()


def _write(
    database: sqlite3.Connection, rows: Iterable[tuple[str, Sequence[Any]]]
) -> list[Exception]:
    """Write rows; returns what was wrong with each that the others were written without."""
    refused: list[Exception] = []
    for statement, same in itertools.groupby(rows, itemgetter(0)):
        values = [row[1] for row in same]
        try:
            database.executemany(statement, values)
        except _OF_ONE_ROW:
            # Those before it are written, and ignored the second time.
            for row in values:
                try:
                    database.execute(statement, row)
                except _OF_ONE_ROW as error:
                    refused.append(error)
    return refused


def _tell_missing(count: int, error: Exception) -> None:
    notices.tell(f"the ledger lacks {counted(count, 'replay')}: {error}")


@contextmanager
def _committed(database: sqlite3.Connection) -> Iterator[None]:
    """A transaction; inside another one of this thread, a part of it."""
    if database.in_transaction:
        # The end of a stream that nobody holds any more is written at any moment.
        yield
        return
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
