"""docs/ledger.md says what is in the file."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from llm_magic import history
from llm_magic.history import FILTERS
from llm_magic.recordings import now

TEXT = (Path(__file__).parent.parent / "docs" / "ledger.md").read_text("utf-8")


def test_the_columns_in_the_documents_are_those_of_the_file():
    history.default().record(model="a")
    file = sqlite3.connect(".llm_magic/history.db")
    real = [(name, kind) for _, name, kind, *_ in file.execute("PRAGMA table_info(calls)")]
    file.close()

    assert re.findall(r"^\| `(\w+)` \| (TEXT|INTEGER|REAL) \|", TEXT, re.M) == real


def test_the_documents_name_every_filter():
    (told,) = re.findall(r"The filters are the same everywhere.*?\n\n", TEXT, re.S)

    assert all(f"`{name}`" in told for name in FILTERS)


def test_the_sql_in_the_documents_runs_while_the_ledger_is_open(run_python):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    for _ in range(2):
        history.default().record(
            started=now(), source="live", provider="openai", model="gpt", cost="0.25"
        )

    assert run_python(code).stdout == "openai/gpt 2 0.5\n"


def test_the_query_for_jupysql_is_one(tmp_path):
    history.default().record(started=now(), source="live", cost="0.25")
    (query,) = re.findall(r"%sql (SELECT .*)", TEXT)

    file = sqlite3.connect(".llm_magic/history.db")
    assert [usd for _, usd in file.execute(query)] == [0.25]
    file.close()
