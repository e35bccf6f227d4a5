"""Reading the ledger: sums, rows, frames, files."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magic.config import Workspace
from llm_magic.history import exports, frames
from llm_magic.history.columns import COLUMNS
from llm_magic.history.database import LedgerFile
from llm_magic.history.filters import STEADY, where
from llm_magic.history.groups import CELL, CellTotals, grouped, grouped_by_cell, place_of
from llm_magic.history.running import Running
from llm_magic.history.sums import GROUPED, SUMMED, Sums, Totals

if TYPE_CHECKING:
    import pandas

__all__ = ["Reading"]

# How many sums are kept going: those of the folder, of the session, and of what somebody looks at.
_RUNNING = 16


class Reading(LedgerFile):
    """What can be asked of the ledger of one folder."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._sums: dict[tuple[object, ...], Running] = {}

    def version(self) -> tuple[int, int, int]:
        """What is another value after each change, by this process or another one."""
        with self._database() as database:
            (others,) = database.execute("PRAGMA data_version").fetchone()
            return self._opened, database.total_changes, int(others)

    def totals(
        self, *, after: str | None = None, until: str | None = None, **filters: Any
    ) -> Totals:
        """Sums of the calls that match; of all without a filter.

        Those of a session, a model and the like go on from where they stood, however long the
        ledger is.

        Parameters
        ----------
        after, until : str, optional
            Ids of rows; only those that were written after the one, and up to the other.
        **filters
            ``since``, ``before``
                A time (``2026-11-20``, a datetime, a date), or a span: so long ago (``7d``,
                ``12h``, a timedelta).
            ``model``
                ``provider/model`` or the model alone; ``*`` stands for anything.
            ``cell``
                Id of a cell, or text in its first line.
            ``notebook``, ``provider``, ``tag``, ``session``, ``run``
                Its name.
            ``source``, ``status``
                ``live`` or ``replay``; ``ok``, ``error``, ...

        Raises
        ------
        TypeError
            For another filter.
        ParameterError
            For a time that is none.
        """
        condition, values = where(filters, after, until)
        with self._database() as database:
            since = _deleted_before(database)
            if after is None and until is None and filters.keys() <= STEADY:
                return self._running(condition, values).read(database).totals(since)
            lines = database.execute(f"SELECT {SUMMED} FROM calls {condition} {GROUPED}", values)
            return Sums().add(lines).totals(since)

    def _running(self, condition: str, values: tuple[str, ...]) -> Running:
        # Of a file that was opened again, all is counted again.
        place = self._opened, condition, values
        sums = self._sums.pop(place, None) or Running(condition, values)
        # The one that was used last is last; so many are kept.
        self._sums[place] = sums
        if len(self._sums) > _RUNNING:
            del self._sums[next(iter(self._sums))]
        return sums

    def grouped(self, by: str, **filters: Any) -> dict[str | None, Totals]:
        """Sums of the calls that match, by group; None is the group of those that have none.

        Parameters
        ----------
        by : str
            ``model``, ``provider``, ``cell``, ``notebook``, ``tag``, ``day`` or ``hour`` (where
            this machine is), ``session``. Days and sessions come in their order, the others begin
            with what cost the most.
        **filters
            As in :meth:`totals`.

        Raises
        ------
        ParameterError
            For another ``by``.
        """
        place = place_of(by)
        condition, values = where(filters)
        query = f"SELECT {place} AS place, {SUMMED} FROM calls {condition} {GROUPED}, place"
        with self._database() as database:
            return grouped(by, database.execute(query, values).fetchall())

    def cells(self, **filters: Any) -> list[CellTotals]:
        """Sums of the calls that match, by cell, where those that begin alike are told apart.

        The first is what cost the most.

        Parameters
        ----------
        **filters
            As in :meth:`totals`.
        """
        condition, values = where(filters)
        # With max() the line is that of the row that has it.
        query = (
            f"SELECT cell_id, cell_line, max(rowid), {SUMMED} FROM calls {condition}"
            f" {GROUPED}, {CELL}"
        )
        with self._database() as database:
            return grouped_by_cell(database.execute(query, values).fetchall())

    def costs(self, by: str = "model", **filters: Any) -> pandas.DataFrame:
        """The same as a DataFrame: USD, calls and tokens of live calls, a row a group."""
        return frames.of_groups(by, self.grouped(by, **filters))

    def rows(
        self,
        limit: int | None = None,
        *,
        after: str | None = None,
        until: str | None = None,
        **filters: Any,
    ) -> list[dict[str, Any]]:
        """Rows that match, oldest first; the newest ``limit`` of them.

        Parameters
        ----------
        limit : int, optional
            How many.
        after, until, **filters
            As in :meth:`totals`.
        """
        condition, values = where(filters, after, until)
        query = f"SELECT {', '.join(COLUMNS)} FROM calls {condition} ORDER BY rowid DESC LIMIT ?"
        with self._database() as database:
            found = database.execute(query, (*values, -1 if limit is None else limit)).fetchall()
        return [dict(zip(COLUMNS, row, strict=True)) for row in reversed(found)]

    def to_pandas(self, **filters: Any) -> pandas.DataFrame:
        """The ledger as a DataFrame: one row a call, oldest first.

        Times are UTC, money is USD, durations are milliseconds. What is unknown is missing (NA),
        never 0; the dtypes are the same for an empty ledger.

        Parameters
        ----------
        **filters
            As in :meth:`totals`.
        """
        return frames.of_rows(self._found(filters))

    def to_csv(self, path: str | Path, **filters: Any) -> int:
        """Write the calls that match to a CSV file; returns how many they are.

        Money is decimal text. A text that a spreadsheet would take for a formula has an apostrophe
        before it. The file is replaced at once or not at all.

        Parameters
        ----------
        path : str or pathlib.Path
            The file.
        **filters
            As in :meth:`totals`.
        """
        return self._export(Path(path), "csv", filters)

    def to_jsonl(self, path: str | Path, **filters: Any) -> int:
        """As :meth:`to_csv`, with a JSON object a line, and every text as it is."""
        return self._export(Path(path), "jsonl", filters)

    def to_parquet(self, path: str | Path, **filters: Any) -> int:
        """As :meth:`to_csv`, with the columns and dtypes of :meth:`to_pandas`.

        Raises
        ------
        ConfigError
            Without pyarrow; the extra ``parquet`` brings it.
        """
        return self._export(Path(path), "parquet", filters)

    def export(self, path: str | Path, **filters: Any) -> int:
        """As one of these, by the ending of the file's name.

        Raises
        ------
        ParameterError
            For another ending than ``.csv``, ``.jsonl`` and ``.parquet``.
        """
        return self._export(Path(path), exports.format_of(Path(path)), filters)

    def _export(self, path: Path, kind: str, filters: Mapping[str, Any]) -> int:
        found = self._found(filters)
        exports.write(path, found, kind)
        return len(found)

    def _found(self, filters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        condition, values = where(filters)
        query = f"SELECT {', '.join(COLUMNS)} FROM calls {condition} ORDER BY rowid"
        with self._database() as database:
            return database.execute(query, values).fetchall()


def _deleted_before(database: sqlite3.Connection) -> datetime | None:
    query = "SELECT max(before) FROM rewrites WHERE kind = 'deleted'"
    (end,) = database.execute(query).fetchone()
    return None if end is None else datetime.fromisoformat(end)
