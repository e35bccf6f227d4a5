"""A notebook run in REPLAY under guard, and what each of its cells did."""

from __future__ import annotations

import copy
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_magic import guard, headless
from llm_magic.config import Settings, Workspace
from llm_magic.exceptions import LLMMagicError
from llm_magic.history import History
from llm_magic.providers import catalog
from llm_magic.shelf import Shelf

__all__ = ["Cassette", "Execution", "Trace", "execute"]

# Loaded before any code of the user.
_GUARD = "--IPKernelApp.extra_extensions=llm_magic.guard"


@dataclass(slots=True)
class Trace:
    """What a cell did.

    Attributes
    ----------
    events : list of dict
        What the guard told.
    rows : list of dict
        What its calls wrote into the ledger.
    error : tuple of str or None
        Name and message of what it raised.
    """

    events: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    error: headless.Error | None = None


@dataclass(frozen=True, slots=True)
class Cassette:
    """The recordings that travel with a notebook.

    Attributes
    ----------
    path : pathlib.Path
        The file that holds them: the cassette, or the notebook that carries it.
    lines : mapping
        Each recording's line, by key and ordinal.
    """

    path: Path
    lines: Mapping[tuple[str, int], str]


@dataclass(slots=True)
class Execution:
    """A notebook as it was saved, as it is now, and what happened on the way.

    Attributes
    ----------
    path : pathlib.Path
        The notebook.
    saved, new : nbformat.NotebookNode
        Before and after.
    traces : dict
        What the cells did, by their index in the notebook; those that did not run have none.
    error : str
        Why it ended early; empty when all cells ran.
    stopped_at : int
        Index of the cell that ran last.
    cassette : Cassette or None
        Its recordings.
    """

    path: Path
    saved: Any
    new: Any
    cassette: Cassette | None
    traces: dict[int, Trace] = field(default_factory=dict)
    error: str = ""
    stopped_at: int = -1


def execute(path: Path, *, timeout: float, progress: bool) -> Execution:
    """Run a notebook in REPLAY in a fresh kernel, without a network, key or trace beside it.

    Recordings come from its cassette alone: what is in the working store was not saved yet, and
    does not travel. The working files of the run are elsewhere, and are removed.

    Parameters
    ----------
    path : pathlib.Path
        The notebook.
    timeout : float
        Seconds that a cell may take.
    progress : bool
        Show on a terminal which cell runs.

    Raises
    ------
    LLMMagicError
        When it cannot be run: no notebook, no kernel, a cassette that cannot be read.
    """
    saved = headless.read(path)
    path = path.resolve()
    with _workspace(path) as workspace, ExitStack() as stack:
        shelf = stack.enter_context(closing(Shelf(workspace)))
        ledger = stack.enter_context(closing(History(workspace)))
        done = Execution(path, saved, copy.deepcopy(saved), _cassette(shelf, path))
        assert workspace.elsewhere is not None
        events = workspace.elsewhere / "events.jsonl"
        recorder = _Recorder(done, ledger, events)
        done.error, _ = headless.run(
            done.new,
            path,
            _environment(workspace, path, events),
            watcher=recorder,
            progress=progress,
            allow_errors=True,
            timeout=timeout,
            arguments=[_GUARD],
            graceful=False,
        )
        if done.error:
            recorder.ran(done.stopped_at)
    return done


@contextmanager
def _workspace(path: Path) -> Iterator[Workspace]:
    with tempfile.TemporaryDirectory(
        prefix="llm-magic-verify-", ignore_cleanup_errors=True
    ) as folder:
        yield Workspace(path.parent, path.stem, Path(folder).resolve())


def _cassette(shelf: Shelf, path: Path) -> Cassette | None:
    sources = shelf.sources(path.stem)
    cassette = shelf.cassette(path.stem)
    return Cassette(sources[0], cassette.lines()) if cassette is not None else None


def _environment(workspace: Workspace, path: Path, events: Path) -> dict[str, str]:
    """The environment of any machine: ours, without keys and settings for llm-magic."""
    hidden = {
        variable
        for row in catalog.ENTRIES.values()
        for variable in (*row.key_variables, *row.credential_variables)
    }
    own = Settings(path.parent, environ={}).providers.values()
    hidden |= {row["key_variable"] for row in own if "key_variable" in row}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in hidden and not name.startswith("LLM_MAGIC_")
    }
    return {
        **kept,
        "LLM_MAGIC_MODE": "REPLAY",
        "LLM_MAGIC_NOTEBOOK": str(path),
        "LLM_MAGIC_WORKING": str(workspace.elsewhere),
        guard.VARIABLE: str(events),
        # A module beside the notebook that a cell imports would leave its __pycache__ there.
        "PYTHONDONTWRITEBYTECODE": "1",
    }


class _Recorder(headless.Watcher):
    """Notes after each cell what is new in the ledger and in the file of events."""

    def __init__(self, execution: Execution, ledger: History, events: Path) -> None:
        self._execution = execution
        self._ledger = ledger
        self._events = events
        self._read = 0
        self._last: str | None = None

    def begins(self, index: int) -> None:
        if self._execution.stopped_at < 0 and not self._new_events():
            raise LLMMagicError(
                f"the kernel that {self._execution.path.name} asks for has no llm-magic, or an"
                " older one: install it where that kernel runs"
            )
        self._execution.stopped_at = index

    def ran(self, index: int, error: headless.Error | None = None) -> None:
        rows = self._ledger.rows(after=self._last)
        self._last = rows[-1]["id"] if rows else self._last
        self._execution.traces[index] = Trace(self._new_events(), rows, error)

    def _new_events(self) -> list[dict[str, Any]]:
        if not self._events.exists():
            return []
        with self._events.open(encoding="utf-8", errors="replace") as file:
            file.seek(self._read)
            lines = file.readlines()
            self._read = file.tell()
        return [self._event(line) for line in lines]

    def _event(self, line: str) -> dict[str, Any]:
        try:
            event = json.loads(line)
            wanted = guard.EVENTS[event["event"]]
            if all(type(event[name]) is kind for name, kind in wanted.items()):
                return dict(event)
        except (ValueError, LookupError, TypeError, RecursionError):
            pass
        name = self._execution.path.name
        raise LLMMagicError(f"a cell of {name} wrote into the file in which its run is noted")
