"""The ledger: one row a call, live or replayed, answered or not.

A live call writes its row before it is sent (status ``pending``) and completes it after, so that
money spent is never forgotten: a row that a killed process left pending is completed from the
recording it made, or becomes ``unknown``. The ledger never mixes three figures:

spent
    USD of live calls whose price is known.
saved
    USD that replayed calls would have cost at the prices when they were recorded.
unknown
    How many live calls cost what nobody knows.
"""

from __future__ import annotations

import atexit
import json
import os
import secrets as randomness
import sqlite3
import threading
import time
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magic import config, pricing
from llm_magic.config import Workspace
from llm_magic.exceptions import DamagedStoreError, StoreError, did_you_mean
from llm_magic.recordings import Recording, Recordings, decimal_text
from llm_magic.secrets import redact
from llm_magic.storage import Store, connect, prepare_working_folder, writable

if TYPE_CHECKING:
    import pandas

__all__ = ["History", "Totals", "at", "default", "session", "to_pandas", "totals"]

# Columns in their order, with their pandas dtypes. USD as decimal text in the file, as Float64 in
# a DataFrame; token counts are those of Usage.
COLUMNS: Mapping[str, str] = {
    "id": "str",
    "session": "str",
    "started": "datetime64[ms, UTC]",
    "status": "str",
    "source": "str",
    "mode": "str",
    "api": "str",
    "provider": "str",
    "model": "str",
    "response_model": "str",
    "endpoint": "str",
    "notebook": "str",
    "cell_id": "str",
    "cell_line": "str",
    "run": "str",
    "key": "str",
    "ordinal": "Int64",
    "call": "str",
    "attempt": "Int64",
    "stream": "boolean",
    "latency_ms": "Float64",
    "first_token_ms": "Float64",
    "input_tokens": "Int64",
    "uncached_input_tokens": "Int64",
    "cache_read_tokens": "Int64",
    "cache_write_tokens": "Int64",
    "cache_write_1h_tokens": "Int64",
    "input_audio_tokens": "Int64",
    "output_tokens": "Int64",
    "reasoning_tokens": "Int64",
    "output_audio_tokens": "Int64",
    "cost": "Float64",
    "saved": "Float64",
    "cost_source": "str",
    "prices": "str",
    "price_table": "str",
    "finish_reason": "str",
    "error": "str",
    "error_message": "str",
    "notes": "str",
    "prompt": "str",
    "answer": "str",
    "pid": "Int64",
    "process_started": "Float64",
}

# What may hold words of a user or a model.
_TEXTS = ("prompt", "answer", "cell_line", "error_message", "notes")

_SQL_TYPES = {"Int64": "INTEGER", "boolean": "INTEGER", "Float64": "REAL"}
_MONEY = ("cost", "saved")
_TOKENS = (
    "input_tokens",
    "uncached_input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "input_audio_tokens",
    "output_tokens",
    "reasoning_tokens",
    "output_audio_tokens",
)

SCHEMA = 1
_FILTERS = ("session", "notebook", "model", "provider", "status", "source", "run")


def _create_calls() -> str:
    columns = ", ".join(
        f"{name} {'TEXT' if name in _MONEY else _SQL_TYPES.get(dtype, 'TEXT')}"
        + (" PRIMARY KEY" if name == "id" else "")
        for name, dtype in COLUMNS.items()
    )
    return f"CREATE TABLE calls ({columns})"


# Statements that lead from each version to the next one.
_MIGRATIONS: Mapping[int, tuple[str, ...]] = {
    0: (
        _create_calls(),
        "CREATE INDEX calls_by_session ON calls (session)",
        "CREATE INDEX calls_pending ON calls (pid) WHERE status = 'pending'",
    ),
}


def new_call_id() -> str:
    """A fresh id; ids sort by time."""
    return f"{time.time_ns() // 1_000_000:012x}{randomness.token_hex(8)}"


_session = os.environ.get("LLM_MAGIC_SESSION", "").strip() or new_call_id()


def session() -> str:
    """Id of this process's session; ``llm-magic run`` sets it as ``LLM_MAGIC_SESSION``."""
    return _session


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the ledger.

    Attributes
    ----------
    spent, saved : decimal.Decimal
        USD paid for live calls; USD that replays would have cost.
    unknown, saved_unknown : int
        Live calls whose cost nobody knows; replays of which nobody knows what they saved.
    calls, live, replayed, failed : int
        Calls in all; by source; those without an answer.
    input_tokens, output_tokens : int
        Tokens of live calls.
    """

    spent: Decimal = Decimal(0)
    saved: Decimal = Decimal(0)
    unknown: int = 0
    saved_unknown: int = 0
    calls: int = 0
    live: int = 0
    replayed: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class History:
    """The ledger of one folder.

    Parameters
    ----------
    workspace : Workspace
        Its folder. Where nothing can be written, the ledger is kept in memory.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._working = workspace.working
        self.path: Path | None = workspace.working / "history.db"
        if writable(workspace.folder) and (not self.path.exists() or os.access(self.path, os.W_OK)):
            prepare_working_folder(workspace.working)
        else:
            existing, self.path = self.path, None
        self._lock = threading.RLock()
        self._connection = self._open()
        self._pid = os.getpid()
        if self.path is None:
            self._copy(existing)
        self._recover()

    def _copy(self, existing: Path) -> None:
        """Rows of a ledger that cannot be written: to be read, and for this process to go on."""
        if existing.exists():
            source = connect(existing, read_only=True)
            try:
                source.backup(self._connection)
                _migrate(self._connection, existing)
            finally:
                source.close()

    def _open(self) -> sqlite3.Connection:
        try:
            connection = connect(self.path)
        except DamagedStoreError as error:
            assert self.path is not None
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
            aside = self.path.with_name(f"history.damaged-{stamp}.db")
            # With its log: the newest rows are there, and SQLite would empty it for a new file.
            for ending in ("", "-wal", "-shm", "-journal"):
                part = self.path.with_name(self.path.name + ending)
                if part.exists():
                    part.rename(aside.with_name(aside.name + ending))
            message = f"{error}. It was moved to {aside.name}; a new ledger was begun"
            warnings.warn(message, RuntimeWarning, stacklevel=4)
            connection = connect(self.path)
        try:
            _migrate(connection, self.path)
        except sqlite3.Error as error:
            connection.close()
            raise StoreError(f"the ledger {self.path}: {error}") from None
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._pid != os.getpid():
                # SQLite connections must not cross a fork.
                self._connection, self._pid = self._open(), os.getpid()
            elif self.path is not None and not self.path.exists():
                # Deleted under us: rows written to the old file would be lost.
                prepare_working_folder(self._working)
                self._connection.close()
                self._connection = self._open()
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise StoreError(f"the ledger {self.path or 'in memory'}: {error}") from None

    # Writing

    def begin(self, **fields: Any) -> str:
        """Write the row of a live call before it is sent; returns its id."""
        fields = {
            **fields,
            "status": "pending",
            "source": "live",
            "pid": os.getpid(),
            "process_started": _process_started(os.getpid()),
        }
        return self.record(**fields)

    def finish(self, call: str, **fields: Any) -> None:
        """Complete the row of a live call, once.

        A row that another process took for forgotten (``unknown``) is completed too: processes in
        other containers cannot see each other.
        """
        values = _row(fields)
        changes = ", ".join(f"{name} = ?" for name in values)
        with self._database() as database:
            database.execute(
                f"UPDATE calls SET {changes} WHERE id = ? AND status IN ('pending', 'unknown')",
                (*values.values(), call),
            )

    def record(self, **fields: Any) -> str:
        """Write a whole row; returns its id. Columns that are not given are NULL."""
        fields.setdefault("id", new_call_id())
        fields.setdefault("session", _session)
        values = _row(fields)
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        with self._database() as database:
            database.execute(
                f"INSERT INTO calls ({names}) VALUES ({marks})", tuple(values.values())
            )
        return str(fields["id"])

    def _recover(self) -> None:
        """Settle the rows of processes that are gone."""
        with self._database() as database:
            pending = database.execute(
                "SELECT id, pid, process_started, key, ordinal FROM calls WHERE status = 'pending'"
            ).fetchall()
        dead = [row for row in pending if not _alive(row[1], row[2])]
        if not dead:
            return
        store = Store(self._working / "recordings")
        try:
            for call, _, _, key, ordinal in dead:
                recording = Recordings(store).find_call(key, ordinal, call) if key else None
                self.finish(call, **_outcome(recording))
        finally:
            store.close()

    def forget(self, calls: Collection[str]) -> int:
        """Empty the texts of these calls' rows; their costs and tokens stay. Returns how many."""
        empty = ", ".join(f"{name} = NULL" for name in _TEXTS)
        with self._database() as database:
            database.execute("PRAGMA secure_delete = ON")
            count = sum(
                database.execute(f"UPDATE calls SET {empty} WHERE id = ?", (call,)).rowcount
                for call in calls
            )
            # Rows that grew left their old text in free space, and the log has pages of before.
            with suppress(sqlite3.OperationalError):
                database.execute("VACUUM")
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            database.execute("PRAGMA secure_delete = OFF")
        return count

    # Reading

    def totals(self, **filters: str) -> Totals:
        """Sums of the calls that match; of all without a filter.

        Parameters
        ----------
        **filters
            ``session``, ``notebook``, ``model``, ``provider``, ``status``, ``source``, ``run``.
        """
        where, values = _where(filters)
        query = f"""
            SELECT source, status, cost, saved, count(*),
                   total(input_tokens), total(output_tokens)
            FROM calls {where} GROUP BY source, status, cost, saved
        """
        sums: dict[str, Any] = dict.fromkeys(Totals.__slots__, 0)
        sums["spent"] = sums["saved"] = Decimal(0)
        with self._database() as database:
            rows = database.execute(query, values).fetchall()
        for source, status, cost, saved, count, tokens_in, tokens_out in rows:
            sums["calls"] += count
            sums["failed"] += 0 if status in ("ok", "pending", "closed") else count
            if source == "live":
                sums["live"] += count
                sums["input_tokens"] += int(tokens_in)
                sums["output_tokens"] += int(tokens_out)
                if cost is not None:
                    sums["spent"] += Decimal(cost) * count
                elif status != "pending":
                    sums["unknown"] += count
            elif status != "miss":
                sums["replayed"] += count
                sums["saved"] += Decimal(saved or 0) * count
                sums["saved_unknown"] += count if saved is None else 0
        return Totals(**sums)

    def rows(self, limit: int | None = None, **filters: str) -> list[dict[str, Any]]:
        """Rows that match, oldest first; the newest ``limit`` of them."""
        where, values = _where(filters)
        query = f"SELECT {', '.join(COLUMNS)} FROM calls {where} ORDER BY rowid DESC LIMIT ?"
        with self._database() as database:
            found = database.execute(query, (*values, -1 if limit is None else limit)).fetchall()
        return [dict(zip(COLUMNS, row, strict=True)) for row in reversed(found)]

    def to_pandas(self, **filters: str) -> pandas.DataFrame:
        """The ledger as a DataFrame: one row a call, oldest first.

        Times are UTC, money is USD, durations are milliseconds. What is unknown is missing (NA),
        never 0; the dtypes are the same for an empty ledger.

        Parameters
        ----------
        **filters
            As in :meth:`totals`.
        """
        import pandas

        where, values = _where(filters)
        query = f"SELECT {', '.join(COLUMNS)} FROM calls {where} ORDER BY rowid"
        with self._database() as database:
            found = database.execute(query, values).fetchall()
        columns = list(zip(*found, strict=True)) if found else [()] * len(COLUMNS)
        data = {}
        dtype: Any
        for (name, dtype), column in zip(COLUMNS.items(), columns, strict=True):
            if dtype.startswith("datetime64"):
                series = pandas.Series(pandas.to_datetime(list(column), utc=True, format="ISO8601"))
                data[name] = series.astype(dtype)
            elif name in _MONEY:
                amounts = [None if text is None else float(text) for text in column]
                data[name] = pandas.Series(amounts, dtype=dtype)
            elif dtype == "boolean":
                flags = [None if flag is None else bool(flag) for flag in column]
                data[name] = pandas.Series(flags, dtype=dtype)
            else:
                data[name] = pandas.Series(list(column), dtype=dtype)
        return pandas.DataFrame(data)

    def close(self) -> None:
        """Close the ledger's file."""
        with self._lock:
            self._connection.close()


def _migrate(connection: sqlite3.Connection, path: Path | None) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA:
        raise StoreError(f"{path} was written by a newer llm-magic; pip install -U llm-magic")
    if version == SCHEMA:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another kernel may have migrated while this one waited for the lock.
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for step in range(version, SCHEMA):
            for statement in _MIGRATIONS[step]:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _row(fields: Mapping[str, Any]) -> dict[str, Any]:
    if unknown := fields.keys() - COLUMNS.keys():
        raise TypeError(f"the ledger has no column {sorted(unknown)[0]}")
    # Every replay writes a row: what needs no conversion gets none.
    return {
        name: value if type(value) in _PLAIN or name in _WORDS else _cell(value)
        for name, value in fields.items()
    }


_PLAIN = frozenset({type(None), int, float, bool})
_WORDS = frozenset({"id", "session", "status", "source", "mode", "api", "key", "call"})


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        value = redact(value)
        # Half a surrogate pair cannot be stored as UTF-8.
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, (dict, list)):
        return redact(json.dumps(value)) if value else None
    return value


def _where(filters: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    for name in filters:
        if name not in _FILTERS:
            raise TypeError(f"no filter {name!r}; {did_you_mean(name, _FILTERS)}")
    if not filters:
        return "", ()
    return "WHERE " + " AND ".join(f"{name} = ?" for name in filters), tuple(filters.values())


def token_columns(usage: Any) -> dict[str, int | None]:
    """The ledger's token columns of a Usage; all NULL when it is None."""
    return {name: getattr(usage, name) if usage is not None else None for name in _TOKENS}


def _outcome(recording: Recording | None) -> dict[str, Any]:
    if recording is None:
        return {
            "status": "unknown",
            "error_message": "the process ended before the answer was in the ledger",
        }
    usage = recording.usage
    cost, source = pricing.charged(recording.response.get("usage"), usage, recording.prices)
    return {
        "status": "closed" if recording.closed else "ok",
        "latency_ms": recording.latency_ms,
        "cost": cost,
        "cost_source": source,
        "notes": ["completed from the recording: the process had ended"],
        **token_columns(usage),
    }


def _process_started(pid: int) -> float | None:
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def _alive(pid: int | None, started: float | None) -> bool:
    if pid is None:
        return False
    then = _process_started(pid)
    # Process ids are used again: the same id with another start time is somebody else.
    return then is not None and (started is None or abs(then - started) < 1.0)


_open: dict[Path, History] = {}
_open_lock = threading.Lock()


def at(workspace: Workspace) -> History:
    """The ledger of a folder; one per process."""
    with _open_lock:
        if workspace.folder not in _open:
            _open[workspace.folder] = History(workspace)
        return _open[workspace.folder]


def default() -> History:
    """The ledger of the folder this process works in."""
    return at(config.default().workspace)


def totals(**filters: str) -> Totals:
    """Sums over this folder's ledger; see :meth:`History.totals`."""
    return default().totals(**filters)


def to_pandas(**filters: str) -> pandas.DataFrame:
    """Ledger of the folder as a DataFrame; see :meth:`History.to_pandas`."""
    return default().to_pandas(**filters)


def close() -> None:
    """Close every open ledger; the next use opens it again."""
    with _open_lock:
        for history in _open.values():
            history.close()
        _open.clear()


atexit.register(close)
