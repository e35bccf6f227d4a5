"""What this kernel knows of mode, money and recordings, as JupyterLab is told it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from llm_magic import budgets, client, config, history, replay
from llm_magic.budgets import PERIODS
from llm_magic.config import OPTIONS
from llm_magic.history import Totals
from llm_magic.notebook.display import visible
from llm_magic.notebook.failing import one_line
from llm_magic.notebook.lab import VERSION, Budget, Cassette, Group, Mode, Pinned, State, Sums
from llm_magic.recordings import decimal_text
from llm_magic.shelf import Shelf

__all__ = ["IMPOSED", "Reader"]

# Why a mode is greyed; also what is answered to who sets one all the same.
IMPOSED = "LLM_MAGIC_MODE=REPLAY was set where this kernel was started"

# Tells this process from the one after a restart.
_KERNEL = uuid.uuid4().hex

_T = TypeVar("_T")


class Reader:
    """Reads the state; from any thread, one at a time.

    What cannot be read is told in words in ``problem``, and the rest is there.
    """

    def __init__(self) -> None:
        self._cassette: tuple[object, Cassette] | None = None
        self._grouped: tuple[object, dict[Callable[[], list[Group]], list[Group]]] | None = None

    def state(self) -> State:
        """The state as it is now."""
        problems: list[str] = []

        def tried(read: Callable[[], _T], otherwise: _T) -> _T:
            try:
                return read()
            except Exception as error:
                problems.append(one_line(error))
                return otherwise

        settings = config.default()
        notebook = tried(lambda: settings.workspace.notebook, None)
        mode = tried(lambda: settings.get("mode"), OPTIONS["mode"].default)
        return State(
            type="state",
            version=VERSION,
            kernel=_KERNEL,
            mode=cast(Mode, str(mode)),
            origin=tried(lambda: settings.origin("mode"), ""),
            pinned=Pinned(mode="REPLAY", reason=IMPOSED) if settings.imposed else None,
            notebook=notebook,
            session=tried(lambda: _total(session=history.session()), _sums(Totals())),
            total=tried(lambda: _total(notebook=notebook), _sums(Totals())),
            models=tried(lambda: self._groups(_models), []),
            cells=tried(lambda: self._groups(_cells), []),
            budgets=tried(_budgets, []),
            cassette=tried(lambda: self._recorded(notebook), _NOTHING),
            problem=problems[0] if problems else None,
        )

    def _groups(self, read: Callable[[], list[Group]]) -> list[Group]:
        # All rows of the session are read for it: only where one was written.
        stamp = history.default().path, history.version()
        if self._grouped is None or self._grouped[0] != stamp:
            self._grouped = stamp, {}
        known = self._grouped[1]
        if read not in known:
            known[read] = read()
        return known[read]

    def _recorded(self, notebook: str | None) -> Cassette:
        shelf = client.default().shelf
        # To count what is unsaved the whole store is read: only where something was written.
        stamp = notebook, _stamps(shelf, notebook)
        if self._cassette is None or self._cassette[0] != stamp:
            status = shelf.status(notebook)
            cassette = Cassette(
                name=status.path.name if status.path else None,
                recordings=status.in_cassette,
                unsaved=status.unsaved,
                unnamed=status.unnamed,
            )
            self._cassette = stamp, cassette
        return self._cassette[1]


_NOTHING = Cassette(name=None, recordings=0, unsaved=0, unnamed=0)


def _stamps(shelf: Shelf, notebook: str | None) -> list[object]:
    """Another value after each write into the store or the cassette, by whichever process."""
    database = shelf.store.folder / "cache.db"
    paths = [database, database.with_name("cache.db-wal")]
    return [_stamp(path) for path in [*paths, *([shelf.source(notebook)] if notebook else [])]]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _total(**filters: str | None) -> Sums:
    return _sums(history.totals(**filters))


def _models() -> list[Group]:
    found = history.default().grouped("model", session=history.session())
    return [
        Group(name=visible(name or ""), cell_id=None, sums=_sums(sums))
        for name, sums in found.items()
    ]


def _cells() -> list[Group]:
    return [
        Group(name=visible(cell.line or cell.id or ""), cell_id=cell.id, sums=_sums(cell.totals))
        for cell in history.default().cells(session=history.session())
    ]


def _sums(totals: Totals) -> Sums:
    return Sums(
        spent=decimal_text(totals.spent),
        saved=decimal_text(totals.saved),
        unknown=totals.unknown,
        live=totals.live,
        replayed=totals.replayed,
    )


def _budgets() -> list[Budget]:
    return [
        Budget(
            per=state.cap.per,
            limit=decimal_text(state.cap.limit),
            settled=decimal_text(state.counter.settled),
            reserved=decimal_text(state.counter.reserved),
            left=decimal_text(state.left),
            origin=state.cap.origin,
            # As budgets.caps() names it; only this one cannot be raised here.
            ceiling=state.cap.per in PERIODS and state.cap.origin.startswith("LLM_MAGIC_"),
        )
        for state in budgets.shown(config.default(), replay.current_run())
    ]
