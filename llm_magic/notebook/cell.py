"""Where a cell begins and ends: tells replay, so that identical calls get their numbers."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from llm_magic import config, replay
from llm_magic.replay import Run
from llm_magic.secrets import redact

__all__ = ["CellRuns", "checksum"]

_LONGEST_LINE = 80

# CRC-32 of the source of each cell, by the number of its run; an answer in the background may come
# long after its cell has ended.
_checksums: dict[int, int] = {}
_MOST_CHECKSUMS = 1000


def checksum() -> int | None:
    """CRC-32 of the cell that asks, as its page has it; None outside of a cell."""
    run = replay.current_run()
    return None if run is None else _checksums.get(run.number)


def _note_checksum(run: Run, source: str) -> None:
    # A cell that runs another one is still the cell that people see.
    _checksums.setdefault(run.number, zlib.crc32(source.encode("utf-8", "replace")))
    if len(_checksums) > _MOST_CHECKSUMS:
        del _checksums[next(iter(_checksums))]


class CellRuns:
    """Begins a run before each cell and ends it after, through IPython's events.

    Parameters
    ----------
    shell : InteractiveShell
        The shell whose cells are meant.
    interrupted : callable, optional
        Is called with the run of a cell that was interrupted.
    """

    def __init__(self, shell: Any, interrupted: Callable[[Run], None] = lambda run: None) -> None:
        self._shell = shell
        self._interrupted = interrupted
        self._runs: list[Run] = []
        # The cell that loads the extension has begun already; it is a run too.
        self._loading: Run | None = replay.begin_run()
        shell.events.register("pre_run_cell", self._begin)
        shell.events.register("post_run_cell", self._end)

    def _begin(self, info: Any) -> None:
        if self._loading is not None:
            replay.end_run(self._loading, ok=True)
            self._loading = None
        # VS Code tells the notebook in a variable, which is there before the first cell runs.
        hint = self._shell.user_ns.get("__vsc_ipynb_file__")
        if isinstance(hint, str):
            config.default().notebook_hint = hint
        identity = getattr(info, "cell_id", None) or ""
        cell = {"line": _first_line(info.raw_cell or "")}
        if identity:
            cell["id"] = identity
        self._runs.append(replay.begin_run(identity, cell=cell))
        _note_checksum(self._runs[-1], info.raw_cell or "")

    def _end(self, result: Any) -> None:
        info = getattr(result, "info", None)
        if info is not None and not (info.raw_cell or "").strip():
            # IPython tells the end of an empty cell, but not its beginning.
            return
        # ipykernel has no result of a cell whose await was interrupted.
        ok = bool(getattr(result, "success", False))
        if self._runs:
            run = self._runs.pop()
            replay.end_run(run, ok=ok)
            if (
                isinstance(getattr(result, "error_in_exec", None), KeyboardInterrupt | None)
                and not ok
            ):
                self._interrupted(run)
        elif self._loading is not None:
            replay.end_run(self._loading, ok=ok)
            self._loading = None

    def close(self) -> None:
        """Take the hooks away and end what is open."""
        self._shell.events.unregister("pre_run_cell", self._begin)
        self._shell.events.unregister("post_run_cell", self._end)
        for run in [*self._runs, *([self._loading] if self._loading else [])]:
            replay.end_run(run, ok=True)
        self._runs.clear()
        self._loading = None


def _first_line(cell: str) -> str:
    line = next((line for line in cell.splitlines() if line.strip()), "").strip()
    return redact(line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…")
