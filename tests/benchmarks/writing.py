"""What recording costs, in CPU time: storing one answer, and one row of the ledger."""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from filling import cache, client, recording
from measuring import ANSWER, Row, folder, main, medians

from llm_magic.history import COLUMNS


def _store(place: Path, count: int) -> dict[str, Callable[[], object]]:
    ours, theirs = client(place / "ours", count), cache(place / "diskcache", count)
    fresh, keys = itertools.count(count), itertools.count(count)
    return {
        "put": lambda: ours.shelf.put(recording(next(fresh)), None),
        "set": lambda: theirs.set(f"{next(keys):064x}", ANSWER),
        "build": lambda: recording(next(fresh)),
    }


def _ledger(place: Path) -> dict[str, Callable[[], object]]:
    ours = client(place / "ledger", 1)
    ours.complete("Question 0: what is the capital of Norway, and where does it lie?")
    (row,) = ours.history.rows()
    given = {name: value for name, value in row.items() if value is not None and name != "id"}
    bare = sqlite3.connect(place / "bare.db", isolation_level=None)
    bare.execute("PRAGMA journal_mode = WAL")
    bare.execute("PRAGMA synchronous = NORMAL")
    bare.execute(f"CREATE TABLE calls ({', '.join(COLUMNS)})")
    marks = ", ".join("?" * len(COLUMNS))
    values = tuple(row.values())
    return {
        "record": lambda: ours.history.record(**given),
        "insert": lambda: bare.execute(f"INSERT INTO calls VALUES ({marks})", values),
    }


def rows(small: bool) -> list[Row]:
    """Both, each beside the plainest thing that keeps the same text as safely."""
    count = 100 if small else 10_000
    turns = {"rounds": 3 if small else 41, "calls": 5 if small else 50}
    with folder() as place:
        us = {
            name: seconds * 1e6
            for work in (_store(place, count), _ledger(place))
            for name, seconds in medians(work, clock=time.process_time, **turns).items()
        }
    return [
        Row(
            f"capture: one answer stored, {count:,} there",
            # Making up a recording is the benchmark's own work.
            us["put"] - us["build"],
            "us",
            "diskcache set",
            us["set"],
            at_most=2,
        ),
        Row(
            "a row of the ledger",
            us["record"],
            "us",
            "bare SQLite insert of the row, no index",
            us["insert"],
            at_most=2,
        ),
    ]


if __name__ == "__main__":
    main(rows, __doc__)
