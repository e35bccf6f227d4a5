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
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magic import config
from llm_magic.config import Workspace
from llm_magic.history.columns import COLUMNS, MONEY, usage_columns
from llm_magic.history.filters import FILTERS
from llm_magic.history.ids import alive, day_scope, new_call_id, session, session_scope
from llm_magic.history.ledger import History
from llm_magic.history.migrations import SCHEMA, columns_of, refuse_strange
from llm_magic.history.repricing import Repricing
from llm_magic.history.sums import Totals
from llm_magic.history.tagging import current as current_tag
from llm_magic.history.tagging import tag
from llm_magic.history.watchers import on_change

if TYPE_CHECKING:
    import pandas

__all__ = [
    "COLUMNS",
    "FILTERS",
    "MONEY",
    "SCHEMA",
    "History",
    "Repricing",
    "Totals",
    "alive",
    "at",
    "close",
    "columns_of",
    "costs",
    "current_tag",
    "day_scope",
    "default",
    "delete",
    "new_call_id",
    "on_change",
    "refuse_strange",
    "reprice",
    "session",
    "session_scope",
    "tag",
    "to_csv",
    "to_jsonl",
    "to_pandas",
    "to_parquet",
    "totals",
    "usage_columns",
    "vacuum",
    "version",
]

_open: dict[Path, History] = {}
_open_lock = threading.Lock()


def at(workspace: Workspace) -> History:
    """The ledger of a folder; one per process."""
    with _open_lock:
        history = _open.get(workspace.folder)
        if history is None:
            history = _open[workspace.folder] = History(workspace)
        return history


def default() -> History:
    """The ledger of the folder this process works in."""
    return at(config.default().workspace)


def totals(**filters: Any) -> Totals:
    """Sums over this folder's ledger; see :meth:`History.totals`."""
    return default().totals(**filters)


def to_pandas(**filters: Any) -> pandas.DataFrame:
    """Ledger of the folder as a DataFrame; see :meth:`History.to_pandas`."""
    return default().to_pandas(**filters)


def costs(by: str = "model", **filters: Any) -> pandas.DataFrame:
    """What this folder's calls cost, a row a group; see :meth:`History.grouped`."""
    return default().costs(by, **filters)


def to_csv(path: str | Path, **filters: Any) -> int:
    """Write this folder's ledger as CSV; see :meth:`History.to_csv`."""
    return default().to_csv(path, **filters)


def to_jsonl(path: str | Path, **filters: Any) -> int:
    """Write this folder's ledger as JSON lines; see :meth:`History.to_jsonl`."""
    return default().to_jsonl(path, **filters)


def to_parquet(path: str | Path, **filters: Any) -> int:
    """Write this folder's ledger as Parquet; see :meth:`History.to_parquet`."""
    return default().to_parquet(path, **filters)


def reprice(**filters: Any) -> Repricing:
    """Give this folder's calls today's prices; see :meth:`History.reprice`."""
    return default().reprice(**filters)


def delete(*, before: Any) -> Totals:
    """Delete the rows of older calls; see :meth:`History.delete`."""
    return default().delete(before=before)


def vacuum() -> int:
    """Give free space of the ledger's file back; see :meth:`History.vacuum`."""
    return default().vacuum()


def version() -> tuple[int, int, int]:
    """What is another value after each change of this folder's ledger, by whichever process."""
    return default().version()


def close() -> None:
    """Close every open ledger; the next use opens it again."""
    with _open_lock:
        for history in _open.values():
            history.close()
        _open.clear()


atexit.register(close)
