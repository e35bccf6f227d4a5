"""A long ledger: a row more, its sums, and all of it as a DataFrame."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from typing import Any

import pandas
from filling import client, question
from measuring import Row, folder, main, medians

from llm_magic.history import COLUMNS, History

_SUMMED = "source, status, cost, saved, input_tokens, output_tokens"


def _fill(ledger: History, row: Mapping[str, Any], count: int) -> None:
    with ledger._database() as database:
        # One transaction: to fill it is not what is measured.
        database.execute("BEGIN")
        for _ in range(count):
            ledger.record(**row)
        database.execute("COMMIT")


def _append(ledger: History, row: Mapping[str, Any], small: bool) -> float:
    """Seconds that a row takes."""
    turns = {"rounds": 3 if small else 41, "calls": 5 if small else 50}
    work = {"append": lambda: ledger.record(**row)}
    return medians(work, clock=time.process_time, **turns)["append"]


def rows(small: bool) -> list[Row]:
    """100,000 rows, with their prompts and answers, in the file of the ledger as in ours."""
    count = 500 if small else 100_000
    with folder() as place:
        ours = client(place / "work", 1)
        ours.complete(question(0))
        ledger = ours.history
        (row,) = ledger.rows()
        row.pop("id")
        given = {name: value for name, value in row.items() if value is not None}
        empty = _append(ledger, given, small)
        _fill(ledger, given, count - ledger.totals().calls)
        bare = sqlite3.connect(place / "work/.llm_magic/history.db")
        query = f"SELECT {', '.join(COLUMNS)} FROM calls ORDER BY rowid"

        def counted_anew() -> None:
            ledger._sums.clear()
            ledger.totals()

        def one_more() -> None:
            ledger.record(**given)
            ledger.totals()

        seconds = medians(
            {
                "frame": lambda: ledger.to_pandas(),
                "read_sql": lambda: pandas.read_sql(query, bare),
                "totals": counted_anew,
                "read_some": lambda: pandas.read_sql(f"SELECT {_SUMMED} FROM calls", bare),
            },
            rounds=1 if small else 5,
            clock=time.process_time,
        )
        again = medians({"totals": one_more}, rounds=3 if small else 41, clock=time.process_time)
        full = _append(ledger, given, small)
        bare.close()
    return [
        Row(
            f"to_pandas(), {count:,} rows",
            seconds["frame"],
            "s",
            "pandas.read_sql",
            seconds["read_sql"],
            at_most=1.1,
        ),
        Row(
            f"totals(), {count:,} rows, counted anew",
            seconds["totals"],
            "s",
            "pandas.read_sql of what is summed",
            seconds["read_some"],
            at_most=1.1,
        ),
        Row(
            f"one row more and totals(), {count:,} rows",
            again["totals"] * 1e6,
            "us",
            "totals(), counted anew",
            seconds["totals"] * 1e6,
            at_most=0.01,
        ),
        Row(
            f"a row of the ledger, {count:,} there",
            full * 1e6,
            "us",
            "a row, in an empty ledger",
            empty * 1e6,
            at_most=1.3,
        ),
    ]


if __name__ == "__main__":
    main(rows, __doc__)
