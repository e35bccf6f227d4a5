"""What every benchmark shares: clocks, rows with their targets, and the table they print.

A benchmark is a script with one function, ``rows(small)``: it measures us and something to compare
with in one run, by turns, and returns a :class:`Row` for each claim.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_magic.formats import table

HERE = Path(__file__).parent
# What a model writes in reply to an ordinary question: 2 kB.
ANSWER = "The capital of Norway is Oslo, which lies at the end of a fjord. " * 31
# Compiled modules are kept, as they are for everybody who has not switched it off.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
KEY = "no-key-of-anybody-0123456789"


@dataclass(frozen=True)
class Row:
    """One claim: our figure, what stands beside it, and the target.

    Parameters
    ----------
    claim : str
        What is measured.
    ours : float
        Our figure, in ``unit``.
    unit : str
        ``us``, ``ms``, ``s`` or ``MB``, of both figures.
    beside : str
        What it is compared with.
    theirs : float or None
        Its figure; None when it could not be measured.
    at_most : float or None
        The target: our figure over theirs.
    limit : float or None
        The target: our figure, in ``unit``.
    over : bool
        Their figure is not known, but is above this one: nobody waited any longer.
    """

    claim: str
    ours: float
    unit: str
    beside: str
    theirs: float | None = None
    at_most: float | None = None
    limit: float | None = None
    over: bool = False

    @property
    def ratio(self) -> float | None:
        """Our figure over theirs."""
        return None if not self.theirs else self.ours / self.theirs

    @property
    def target(self) -> str:
        """The target, as people write it."""
        if self.limit is not None:
            return f"<= {self.limit:g} {self.unit}"
        return "" if self.at_most is None else f"<= {self.at_most:g} x"

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target or a figure."""
        if self.limit is not None:
            return self.ours <= self.limit
        if self.at_most is None or self.ratio is None:
            return None
        return self.ratio <= self.at_most

    def cells(self) -> list[str]:
        """The row as texts."""
        theirs = "could not be measured" if self.theirs is None else self._figure(self.theirs)
        ratio = "" if self.ratio is None else f"{self.ratio:.3g} x"
        return [
            self.claim,
            self._figure(self.ours),
            self.beside,
            f"over {theirs}" if self.over else theirs,
            f"below {ratio}" if self.over else ratio,
            self.target,
            {True: "met", False: "MISSED", None: ""}[self.met],
        ]

    def _figure(self, value: float) -> str:
        # 1,170 ms, not 1.17e+03 ms.
        return f"{float(f'{value:.3g}'):,.12g} {self.unit}"


HEADER = ["claim", "ours", "beside", "theirs", "ratio", "target", ""]


def medians(
    work: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    calls: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Seconds that one call of each takes; by turns, so that a busy moment hits all of them.

    Parameters
    ----------
    work : mapping of str to callable
        What is measured, by name.
    rounds : int
        How often each has its turn; the median of the turns counts.
    calls : int
        Calls in one turn.
    clock : callable
        ``time.process_time`` where the machine is shared and only our own work counts.
    """
    found: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, call in work.items():
            began = clock()
            for _ in range(calls):
                call()
            found[name].append((clock() - began) / calls)
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def by_turns(
    work: Mapping[str, Callable[[], Mapping[str, float]]], *, rounds: int
) -> dict[str, dict[str, float]]:
    """As :func:`medians`, for work that measures several figures of itself."""
    found: dict[str, list[Mapping[str, float]]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, measure in work.items():
            found[name].append(measure())
    return {
        name: {figure: statistics.median(turn[figure] for turn in turns) for figure in turns[0]}
        for name, turns in found.items()
    }


@contextmanager
def folder() -> Iterator[Path]:
    """A folder to work in, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="llm-magic-bench-") as made:
        yield Path(made).resolve()


@contextmanager
def server(*, words: int = 400, latency: float = 0.0) -> Iterator[str]:
    """The fake provider in a process of its own; its work is not counted as ours. Its address.

    The keys and addresses in the environment are its own for that time.
    """
    command = [sys.executable, str(HERE / "serve.py"), str(words), str(latency)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        os.environ.update(
            OPENAI_BASE_URL=f"{url}/v1",
            OPENAI_API_KEY=KEY,
            ANTHROPIC_BASE_URL=url,
            ANTHROPIC_API_KEY=KEY,
        )
        try:
            yield url
        finally:
            process.stdin.close()


def in_fresh_process(code: str, cwd: Path) -> dict[str, float]:
    """What a new Python process measures: the figures that the code prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def told(rows: Sequence[Row], as_json: bool) -> str:
    """The rows as a table, or as JSON with the ratios."""
    if as_json:
        return json.dumps(
            [{**dataclasses.asdict(row), "ratio": row.ratio, "met": row.met} for row in rows],
            indent=1,
        )
    return table(HEADER, [row.cells() for row in rows])


def options(description: str | None) -> Any:
    """The options of a benchmark's command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--small", action="store_true", help="little work: to see that it runs")
    return parser.parse_args()


def main(rows: Callable[[bool], list[Row]], description: str | None) -> None:
    """Measure, and print what was found."""
    given = options(description)
    print(told(rows(given.small), given.json))
