"""What verifying a notebook found: plain values that become JSON and come back from it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["FORGIVEN", "KINDS", "CellResult", "Finding", "Report"]

# One row a kind of finding: what it means.
KINDS: Mapping[str, str] = {
    "drifted": "a cell puts out something else than what is saved",
    "miss": "a cell asks what is not recorded",
    "failed": "a cell took too long, or the kernel died",
    "network": "a cell wanted to reach a network",
    "secret": "a key, or what looks like one, is in the notebook or its cassette",
    "stale": "a recording is in the cassette, and no cell uses it",
    "unpinned": "a cell asks in CAPTURE or DISABLED, or names no model",
    "shared": "two cells ask the very same, so they share one answer",
}
# Told, and no reason to fail: it may be meant.
FORGIVEN = frozenset({"shared"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that verifying found.

    Attributes
    ----------
    kind : str
        One of ``KINDS``.
    message : str
        One line.
    cell : int or None
        Number of the code cell, from 1; None when it is about the notebook.
    detail : str
        More lines: a unified diff, or why a request has no recording.
    """

    kind: str
    message: str
    cell: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CellResult:
    """What became of a code cell.

    Attributes
    ----------
    number : int
        Its number among the code cells, from 1.
    id : str
        Its id in the notebook; empty where it has none.
    line : str
        Its first line.
    status : {"same", "drifted", "miss", "failed", "not run"}
        A cell with a miss is not called drifted as well.
    """

    number: int
    id: str
    line: str
    status: str


@dataclass(frozen=True, slots=True)
class Report:
    """What verifying one notebook found.

    Attributes
    ----------
    notebook : str
        Its path.
    cells : sequence of CellResult
        Every code cell.
    findings : sequence of Finding
        In the order of the cells; those about the notebook last.
    calls : int
        How many requests were answered from recordings.
    recordings : int or None
        How many recordings its cassette has; None without a cassette.
    """

    notebook: str
    cells: Sequence[CellResult] = ()
    findings: Sequence[Finding] = ()
    calls: int = 0
    recordings: int | None = None

    def failing(self, allowed: Collection[str] = ()) -> list[Finding]:
        """The findings for which a verify fails.

        Parameters
        ----------
        allowed : collection of str
            Kinds that do not count.
        """
        forgiven = FORGIVEN.union(allowed)
        return [finding for finding in self.findings if finding.kind not in forgiven]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON takes it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Report:
        """A report from what :meth:`to_dict` returned."""
        return cls(
            notebook=fields["notebook"],
            cells=[CellResult(**cell) for cell in fields["cells"]],
            findings=[Finding(**finding) for finding in fields["findings"]],
            calls=fields["calls"],
            recordings=fields["recordings"],
        )
