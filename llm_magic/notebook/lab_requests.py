"""What JupyterLab asks of the kernel: one function a word, each returns what is answered."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from IPython import get_ipython

from llm_magic import attachment, client, config, history, inventory, packing
from llm_magic.budgets import PERIODS
from llm_magic.exceptions import LLMMagicError, did_you_mean
from llm_magic.formats import usd
from llm_magic.notebook import money_commands, plan, verification
from llm_magic.notebook.display import visible
from llm_magic.notebook.failing import one_line
from llm_magic.notebook.lab import VERSION, CallDetail, NotebookPlan, PlannedCall, SavedCassette
from llm_magic.notebook.lab_state import IMPOSED
from llm_magic.shelf import Saved
from llm_magic.types import Mode

__all__ = ["LONG", "QUICK", "RequestError", "Work"]


class RequestError(LLMMagicError, ValueError):
    """What Lab asked cannot be done; the message says why."""


class Work:
    """Something under way that takes long, and that any thread can stop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._end: Callable[[], None] | None = None
        self.stopped = False

    def ends_with(self, end: Callable[[], None]) -> None:
        """Have a function called by :meth:`stop`; at once, where it was stopped already."""
        with self._lock:
            self._end = end
            stopped = self.stopped
        if stopped:
            end()

    def stop(self) -> None:
        """Stop it, now or as soon as it can be."""
        with self._lock:
            if self.stopped:
                return
            self.stopped = True
            end = self._end
        if end is not None:
            end()


# The mode and the name


def hello(asked: Mapping[str, Any]) -> str | None:
    """A page has come: the mode and the name of its notebook count where nothing else was said.

    Returns what went wrong; the page is told all the rest.
    """
    if asked.get("version") != VERSION:
        raise RequestError(
            f"the page speaks version {asked.get('version')!r:.20} of llm-magic's messages, this"
            f" kernel {VERSION}: update llm-magic where JupyterLab and where the kernel runs, and"
            " reload the page"
        )
    mode, notebook = _maybe(asked, "mode"), _maybe(asked, "notebook")
    settings, problem = config.default(), None
    if notebook is not None and _is_called(_checked(notebook)):
        try:
            _rename(notebook)
        except (LLMMagicError, sqlite3.Error, OSError) as error:
            problem = one_line(error)
    unset = "mode" not in settings.session and not settings.imposed
    # CAPTURE would ask anew, and cost, because somebody opened a notebook.
    if mode is not None and unset and Mode.parse(mode) is not Mode.CAPTURE:
        _set_mode(mode)
    return problem


def _is_called(notebook: str) -> bool:
    """Whether what a page says is newer than what this kernel was told when it started.

    A kernel may belong to two notebooks; the one that it was started for stays it.
    """
    workspace = config.default().workspace
    if _named_outside() or not workspace.notebook_path(notebook).is_file():
        return False
    known = workspace.notebook
    return known is None or not workspace.notebook_path(known).exists()


def mode(asked: Mapping[str, Any]) -> str | None:
    """Set the mode of this session, or leave it to the settings again; returns what was set."""
    wanted = _maybe(asked, "mode")
    if config.default().imposed and wanted != Mode.REPLAY:
        raise RequestError(f"mode: REPLAY; {IMPOSED}, and nothing in the notebook loosens it")
    before = config.default().session.get("mode")
    _set_mode(wanted)
    return None if before is None else str(before)


def _set_mode(wanted: str | None) -> None:
    settings = config.default()
    if wanted is None:
        settings.session.pop("mode", None)
    else:
        settings.set("mode", wanted)
    attachment.follow_mode()


def renamed(asked: Mapping[str, Any]) -> str | None:
    """The notebook has another name now, and what it recorded belongs to that one.

    Returns what its user should know.
    """
    notebook = _file(asked).stem
    if notebook == config.default().workspace.notebook:
        return None
    if _named_outside():
        raise RequestError(
            f"this kernel goes on as {config.default().workspace.notebook}.ipynb, which"
            " LLM_MAGIC_NOTEBOOK names"
        )
    return _rename(notebook) or None


def _named_outside() -> bool:
    return bool(os.environ.get("LLM_MAGIC_NOTEBOOK", "").strip())


def _rename(notebook: str) -> str:
    settings, shelf = config.default(), client.default().shelf
    workspace = settings.workspace
    before = workspace.notebook
    # First: whatever becomes of the old recordings, new ones belong to the new name.
    settings.notebook_hint = f"{notebook}.ipynb"
    if before is None:
        shelf.adopt(notebook, set(shelf.used))
        return ""
    told = shelf.rename(before, notebook)
    if not workspace.notebook_path(before).exists():
        # A copy leaves its calls to the notebook that made them.
        history.default().rename(before, notebook)
    return told


# Money


def budget(asked: Mapping[str, Any]) -> None:
    """Set a cap for this session, or take it away."""
    per = _text(asked, "per")
    if per not in PERIODS:
        raise RequestError(f"budget per {per:.40}: {did_you_mean(per, PERIODS)}")
    amount = _maybe(asked, "usd")
    money_commands.set_cap(per, amount)
    staying = config.default().caps(PERIODS[per])
    if amount is None and staying:
        limit, origin = staying[0]
        raise RequestError(f"a budget per {per} of {usd(limit)} stays: it comes from {origin}")


# Recordings


def save(asked: Mapping[str, Any]) -> SavedCassette:
    """Write what is unsaved into the notebook's cassette."""
    notebook, shelf = _file(asked).stem, client.default().shelf
    status = shelf.status(notebook)
    if status.path is not None and status.path.exists() and not status.unsaved:
        # A notebook is saved often; one that carries its recordings gets no cassette beside it.
        saved = Saved(status.path, status.in_cassette, added=0, replaced=0, removed=0)
    else:
        saved = shelf.save(notebook)
    return SavedCassette(
        name=saved.path.name,
        total=saved.total,
        added=saved.added,
        replaced=saved.replaced,
        removed=saved.removed,
        advice=saved.advice,
    )


def call(asked: Mapping[str, Any]) -> CallDetail:
    """All of one recording, as it is stored."""
    key, ordinal = _text(asked, "key"), asked.get("ordinal")
    if not isinstance(ordinal, int):
        raise RequestError(f"call: ordinal is a number, not {ordinal!r:.40}")
    notebook = config.default().workspace.notebook
    entry = inventory.recorded(client.default().shelf, notebook, key, ordinal)
    recording = entry.recording if entry is not None else None
    if recording is None:
        raise RequestError(f"nothing is recorded under {key[:12]}, answer number {ordinal + 1}")
    return CallDetail(
        request=dict(recording.request),
        response=recording.response.to_dict(),
        recorded=recording.created.isoformat(),
        latency_ms=recording.latency_ms,
        cell_line=recording.cell.get("line"),
    )


def verify(asked: Mapping[str, Any], work: Work) -> dict[str, Any]:
    """Whether the notebook, as it was saved, runs again: a report as plain data."""
    return verification.verify(_file(asked), started=work.ends_with).report.to_dict()


def pack(asked: Mapping[str, Any], work: Work) -> str:
    """Put the recordings into the notebook's file; returns in words what it carries then."""
    return str(packing.pack(_file(asked)))


def planned(asked: Mapping[str, Any], work: Work) -> NotebookPlan:
    """What a run of the notebook would ask and cost."""
    shell = get_ipython()
    # A copy: the cell that runs meanwhile goes on naming things.
    names = dict(shell.user_ns) if shell is not None else None
    found = plan.plan(_file(asked), namespace=names, like=config.default())
    calls = [
        PlannedCall(
            cell=one.cell,
            line=visible(one.line),
            model=visible(one.preview.reference) if one.preview is not None else None,
            status=one.status,
            told=visible(str(one)),
        )
        for one in found.calls
    ]
    remarks = [visible(remark) for remark in found.remarks()]
    return NotebookPlan(notebook=found.notebook, calls=calls, total=found.total, remarks=remarks)


QUICK: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "budget": budget,
    "call": call,
    "hello": hello,
    "mode": mode,
    "renamed": renamed,
    "save": save,
}
# These take long, so each has a thread of its own.
LONG: Mapping[str, Callable[[Mapping[str, Any], Work], Any]] = {
    "pack": pack,
    "plan": planned,
    "verify": verify,
}


# What is asked is checked: another version of the page may have sent it.

# Names of files have 255 bytes, keys 64 characters.
_LONGEST = 255


def _text(asked: Mapping[str, Any], name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str) or not value.strip():
        raise RequestError(f"{asked['type']}: {name} is text, not {value!r:.40}")
    if len(value) > _LONGEST:
        raise RequestError(f"{asked['type']}: {name} is too long: {value!r:.40}")
    return value


def _maybe(asked: Mapping[str, Any], name: str) -> str | None:
    return None if asked.get(name) is None else _text(asked, name)


def _checked(notebook: str) -> str:
    if notebook != os.path.basename(notebook) or notebook in (".", ".."):
        raise RequestError(f"{notebook:.80} is no name of a notebook beside this kernel's")
    return notebook


def _file(asked: Mapping[str, Any]) -> Path:
    """The saved notebook that is meant; it is beside what this kernel recorded, or not ours."""
    workspace = config.default().workspace
    path = workspace.notebook_path(_checked(_text(asked, "notebook")))
    if not path.is_file():
        raise RequestError(
            f"there is no file {path.name} in the folder that this kernel records in,"
            f" {workspace.folder}; save the notebook there, or restart its kernel"
        )
    return path
