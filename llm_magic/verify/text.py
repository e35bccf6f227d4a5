"""A report as people read it in a terminal, a CI log or a failed test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import PurePath

from llm_magic.formats import counted
from llm_magic.verify.findings import CellResult, Finding, Report
from llm_magic.worddiff import visible

__all__ = ["heading", "place", "summary", "to_text"]

_INDENT = "    "


def to_text(report: Report, allowed: Collection[str] = ()) -> str:
    """One line a finding, its details below it, and a summary first.

    Parameters
    ----------
    report : Report
        What was found.
    allowed : collection of str
        Kinds that do not count; they are told all the same.
    """
    lines = [f"{heading(report, allowed)}: {summary(report)}"]
    counting = report.failing(allowed)
    for finding in report.findings:
        kind = finding.kind if finding in counting else f"({finding.kind})"
        where = place(report, finding)
        lines.append(f"  {kind:<10}{where + ': ' if where else ''}{finding.message}")
        lines += [f"{_INDENT}{line}".rstrip() for line in finding.detail.splitlines()]
    # The name of a file may hold anything, too.
    return visible("\n".join(lines))


def heading(report: Report, allowed: Collection[str] = ()) -> str:
    """The notebook's name and whether it passes."""
    word = "not clean" if report.failing(allowed) else "clean"
    return f"{PurePath(report.notebook).name}: {word}"


def summary(report: Report) -> str:
    """How many cells, calls and recordings there are, on one line."""
    states = Counter(cell.status for cell in report.cells)
    order = ("same", "drifted", "miss", "failed", "not run")
    told = ", ".join(f"{states[state]} {state}" for state in order if states[state]) or "none"
    number = report.recordings
    recordings = "no cassette" if number is None else counted(number, "recording")
    return f"cells: {told} · {counted(report.calls, 'call')} replayed · {recordings}"


def place(report: Report, finding: Finding) -> str:
    """Which cell a finding is about; empty when it is about the notebook."""
    if finding.cell is None:
        return ""
    cell = _cell(report.cells, finding.cell)
    line = f" ({cell.line})" if cell is not None and cell.line else ""
    return f"cell {finding.cell} of {len(report.cells)}{line}"


def _cell(cells: Sequence[CellResult], number: int) -> CellResult | None:
    return next((cell for cell in cells if cell.number == number), None)
