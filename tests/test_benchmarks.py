"""Each benchmark runs, in a size that says nothing about speed, and prints its table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "benchmarks"
SCRIPTS = [path for path in sorted(FOLDER.glob("*.py")) if "\ndef rows(" in path.read_text()]


def run(script: Path, *options: str) -> str:
    command = [sys.executable, str(script), "--small", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_measures_us_beside_something(script: Path) -> None:
    rows = json.loads(run(script, "--json"))

    assert rows
    assert all(row["ours"] > 0 and row["beside"] for row in rows)
    assert all(row["ratio"] is None or row["ratio"] > 0 for row in rows)


def test_a_table_names_the_claim_both_figures_and_the_target() -> None:
    header, *rows = run(FOLDER / "writing.py").splitlines()

    assert header.split() == ["claim", "ours", "beside", "theirs", "ratio", "target"]
    assert all(" us " in row and " x " in row and "<= 2 x" in row for row in rows)


def test_every_benchmark_is_one_of_those_that_make_bench_runs() -> None:
    listed = run(FOLDER / "run.py", "--list").split()

    assert sorted(listed) == [path.stem for path in SCRIPTS]
