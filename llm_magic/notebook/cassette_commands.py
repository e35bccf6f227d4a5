"""``%llm cassette`` and ``%llm forget``: save, list, show, compare and drop recordings."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError

from llm_magic import care, client, config, forgetting, history, inventory, rescue
from llm_magic.exceptions import did_you_mean
from llm_magic.formats import count, counted
from llm_magic.inventory import DIFF_HEADER, LIST_HEADER, Entry
from llm_magic.notebook.options import no_words, one_word
from llm_magic.notebook.tables import Table
from llm_magic.notebook.verification import ReportView
from llm_magic.notebook.verification import verify as verify_notebook
from llm_magic.secrets import redact

__all__ = ["COMMANDS", "cassette", "forget", "notebook_file", "rows"]

_YES = "--yes"


def cassette(words: Sequence[str]) -> Any:
    """Do what the words after ``%llm cassette`` say; without words, its status."""
    name, *rest = words or ["status"]
    if name not in COMMANDS:
        raise UsageError(f"%llm cassette {name}: no such command; {did_you_mean(name, COMMANDS)}")
    return COMMANDS[name](rest)


def status(words: Sequence[str]) -> Table:
    """``%llm cassette``: how many recordings are saved, and how many are not."""
    no_words(words, "cassette status")
    return Table([], rows())


def rows() -> list[tuple[str, str]]:
    """The state of this notebook's cassette, as names and texts."""
    shelf = client.default().shelf
    state = shelf.status(config.default().workspace.notebook)
    found = [
        ("cassette", state.path.name if state.path else "notebook not known"),
        ("recordings in it", count(state.in_cassette)),
        ("not saved yet", count(state.unsaved)),
    ]
    if state.unnamed:
        found.append(("recorded without a notebook", count(state.unnamed)))
    return found


def save(words: Sequence[str]) -> str:
    """``%llm cassette save [NOTEBOOK]``: write what is unsaved."""
    shared, settings = client.default(), config.default()
    notebook = settings.workspace.notebook
    if words:
        named = one_word(words, "cassette save NOTEBOOK").removesuffix(".ipynb")
        if not named or named != os.path.basename(named):
            raise UsageError("%llm cassette save NOTEBOOK: a file name, without a folder")
        if notebook is None:
            # From now on the name is known, and what this session recorded belongs to it.
            settings.notebook_hint = f"{named}.ipynb"
            shared.shelf.adopt(named, set(shared.shelf.used))
        notebook = named
    saved = shared.shelf.save(notebook or _notebook())
    if not saved.total:
        return f"nothing is recorded for {notebook}, so there is no cassette to save"
    return str(saved)


def listed(words: Sequence[str]) -> Table:
    """``%llm cassette list [TEXT]``: the recordings of this notebook, those with TEXT in them."""
    text = one_word(words, "cassette list TEXT") if words else ""
    found = _entries()
    shown = inventory.list_rows(found, text)
    total = f" of {count(len(found))}" if text else ""
    return Table(LIST_HEADER, shown, f"{count(len(shown))}{total} recordings")


def show(words: Sequence[str]) -> EntryView:
    """``%llm cassette show KEY``: the request and the answers, by the beginning of their key."""
    prefix = one_word(words, "cassette show KEY")
    return EntryView(inventory.matching(_entries(), prefix))


def diff(words: Sequence[str]) -> Table:
    """``%llm cassette diff``: what a save would change in the cassette."""
    no_words(words, "cassette diff")
    notebook = _notebook()
    shelf = client.default().shelf
    changes = inventory.diff_rows(shelf, notebook)
    name = shelf.cassette_path(notebook).name
    told = f"%llm cassette save changes {counted(len(changes), 'recording')} of {name}"
    return Table(DIFF_HEADER, changes, told if changes else f"{name} has everything")


def prune(words: Sequence[str]) -> Table | str:
    """``%llm cassette prune [--yes]``: drop what this session did not use."""
    rest = [word for word in words if word != _YES]
    no_words(rest, "cassette prune [--yes]")
    notebook = _notebook()
    shelf = client.default().shelf
    found = inventory.unused(shelf, notebook)
    if not found:
        return f"this session used all recordings of {notebook}"
    if len(found) == len(inventory.entries(shelf, notebook)):
        raise UsageError(
            "%llm cassette prune: this session used no recording yet; run all cells first"
        )
    if _YES not in words:
        told = f"{count(len(found))} recordings were not used; nothing is dropped yet:"
        return Table(
            LIST_HEADER, inventory.list_rows(found), f"{told} %llm cassette prune --yes drops them"
        )
    dropped = sum(shelf.drop(entry.key, entry.ordinal, notebook) for entry in found)
    name = shelf.cassette_path(notebook).name
    return f"{counted(dropped, 'recording')} dropped; %llm cassette save takes them out of {name}"


def verify(words: Sequence[str]) -> ReportView:
    """``%llm cassette verify [NOTEBOOK]``: does the notebook, as it was saved, run again."""
    return verify_notebook(notebook_file(words, "cassette verify"))


def notebook_file(words: Sequence[str], command: str) -> Path:
    """The saved notebook that a command is about: the one it names, else the one that runs."""
    workspace = config.default().workspace
    if words:
        path = workspace.folder / one_word(words, f"{command} NOTEBOOK")
    elif workspace.notebook is not None:
        path = workspace.notebook_path(workspace.notebook)
    else:
        raise UsageError(
            f"the notebook's name is not known here; write %llm {command} NOTEBOOK.ipynb"
        )
    if not path.is_file():
        raise UsageError(f"%llm {command}: there is no file {path.name}; save the notebook")
    return path


def check(words: Sequence[str]) -> Table:
    """``%llm cassette check``: whether store, cassettes and ledger are whole."""
    no_words(words, "cassette check")
    report = care.check(config.default().workspace, _progress())
    return Table(care.HEADER, report.rows(), report.verdict)


def repair(words: Sequence[str]) -> Table:
    """``%llm cassette repair``: move what is damaged aside, and save what can be read of it."""
    no_words(words, "cassette repair")
    workspace = config.default().workspace
    done = rescue.repair(workspace, _progress())
    report = care.check(workspace, _progress())
    told = "; ".join([*(done or ["there was nothing to repair"]), report.verdict])
    return Table(care.HEADER, report.rows(), told)


def _progress() -> care.Progress:
    return care.Progress(lambda line: print(line, flush=True))


COMMANDS: dict[str, Callable[[Sequence[str]], Any]] = {
    "check": check,
    "diff": diff,
    "list": listed,
    "prune": prune,
    "repair": repair,
    "save": save,
    "show": show,
    "status": status,
    "verify": verify,
}

_FORGET = "%llm forget KEY, --cell TEXT or --text TEXT"


def forget(words: Sequence[str]) -> Table | str:
    """``%llm forget KEY``: remove recordings and the ledger's texts; ``--cell TEXT``, ``--text``.

    Everywhere in the folder; shows what it would remove, and removes it with ``--yes``.
    """
    match [word for word in words if word != _YES]:
        case ["--cell", text]:
            wanted = {"cell": text}
        case ["--text", text]:
            wanted = {"text": text}
        case [prefix] if not prefix.startswith("-"):
            wanted = {"prefix": prefix}
        case _:
            raise UsageError(f'{_FORGET}; "quote text" that has spaces')
    found = forgetting.find_forgettable(client.default().shelf, history.default(), **wanted)
    told = str(found)
    if _YES not in words:
        return Table(
            LIST_HEADER,
            inventory.list_rows(found.found),
            f"{told}: nothing is removed yet; the same line with --yes removes them",
        )
    return "\n".join([f"removed: {told}", *(f"note: {note}" for note in found.do())])


def _notebook() -> str:
    notebook = config.default().workspace.notebook
    if notebook is None:
        raise UsageError(
            "the notebook's name is not known here; write %llm cassette save NOTEBOOK.ipynb"
        )
    return notebook


def _entries() -> list[Entry]:
    """The notebook's recordings; with its name unknown, those of the folder."""
    return inventory.entries(client.default().shelf, config.default().workspace.notebook)


class EntryView:
    """Recordings in full, as text or as escaped HTML.

    Parameters
    ----------
    entries : sequence of Entry
        What to show; the answers under one key.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = list(entries)

    def __repr__(self) -> str:
        return redact("\n\n".join(map(str, self.entries)))

    def _repr_html_(self) -> str:
        parts = []
        for entry in self.entries:
            parts.append(Table([], entry.about())._repr_html_())
            for role, text in entry.spoken():
                parts.append(
                    f"<div><b>{html.escape(role)}</b></div>"
                    f'<pre style="white-space: pre-wrap">{html.escape(text)}</pre>'
                )
        shown = "".join(parts)
        return redact(
            f'<div class="llm-magic-recording tex2jax_ignore mathjax_ignore">{shown}</div>'
        )
