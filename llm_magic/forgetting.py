"""What is to be forgotten: recordings and texts of the ledger, wherever in a folder they are."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_magic import care
from llm_magic.cassette import Cassette, Place, remove_unfinished, unfinished
from llm_magic.exceptions import LLMMagicError
from llm_magic.formats import counted
from llm_magic.history import History
from llm_magic.inventory import Entry, matching_keys
from llm_magic.shelf import Shelf

__all__ = ["Forgetting", "find_forgettable"]


@dataclass(frozen=True)
class Forgetting:
    """What is to be forgotten in a folder: keys with their recordings, rows of the ledger.

    Attributes
    ----------
    found : list of Entry
        The recordings; all that are under the keys.
    keys : frozenset of str
        Keys of the recordings.
    calls : list of str
        Ids of the ledger's rows.
    """

    shelf: Shelf
    ledger: History
    found: list[Entry]
    keys: frozenset[str]
    calls: list[str]

    def __str__(self) -> str:
        """How much it is, as a person reads it."""
        places = sorted({_place(self.shelf, entry) for entry in self.found})
        where = f" ({', '.join(places)})" if places else ""
        return (
            f"{counted(len(self.found), 'recording')}{where}, the texts of"
            f" {counted(len(self.calls), 'row')} of the ledger"
        )

    def do(self) -> list[str]:
        """Remove it; returns what the user should know about what we cannot reach.

        Raises
        ------
        LLMMagicError
            For a cassette that cannot be read, or a folder that cannot be written. What was
            removed until then stays removed.
        """
        changed = self.shelf.forget(self.keys) if self.keys else []
        remove_unfinished(self.shelf.folder)
        self.ledger.forget(self.calls)
        return _left(self.shelf, changed)


def _place(shelf: Shelf, entry: Entry) -> str:
    if not entry.notebook:
        return "without a notebook"
    return shelf.cassette_path(entry.notebook).name if entry.saved else f"{entry.notebook}, unsaved"


def find_forgettable(
    shelf: Shelf,
    ledger: History,
    *,
    prefix: str | None = None,
    cell: str | None = None,
    text: str | None = None,
) -> Forgetting:
    """What would be forgotten, everywhere in the folder; nothing is removed yet.

    Parameters
    ----------
    prefix : str, optional
        Beginning of a key.
    cell : str, optional
        Text in the first line of the cell, or its id.
    text : str, optional
        Text in the messages, the answer or an error. A recording goes with all answers under its
        key.

    Raises
    ------
    LLMMagicError
        When nothing matches, or several keys do; and as long as a repair could bring back what it
        was asked to forget.
    """
    _refuse_before_repair(shelf)
    rows = ledger.rows()
    found = _everything(shelf)
    if prefix is not None:
        keys = matching_keys(
            [*(entry.key for entry in found), *(row["key"] for row in rows if row["key"])], prefix
        )
        calls = set()
    else:
        wanted = text if text is not None else cell or ""
        if not wanted.strip():
            raise LLMMagicError("forget what? the text is empty")
        matches = _says if text is not None else _is_of_cell
        keys = {entry.key for entry in found if matches(entry.line, wanted)}
        columns = _TEXT_COLUMNS if text is not None else _CELL_COLUMNS
        calls = {row["id"] for row in rows if _row_says(row, columns, wanted)}
    calls |= {row["id"] for row in rows if row["key"] in keys}
    found = [entry for entry in found if entry.key in keys]
    if not found and not calls:
        raise LLMMagicError("nothing like that is recorded in this folder")
    order = [row["id"] for row in rows if row["id"] in calls]
    return Forgetting(shelf, ledger, found, frozenset(entry.key for entry in found), order)


def _refuse_before_repair(shelf: Shelf) -> None:
    if waiting := care.not_brought_over(shelf.store.folder.parent):
        names = ", ".join(path.name for path in waiting)
        raise LLMMagicError(
            f"{names}: set aside as damaged, and a repair would bring back what is forgotten now."
            " llm-magic cassette repair first, then forget"
        )


_TEXT_COLUMNS = ("prompt", "answer", "error_message", "notes", "cell_line")
_CELL_COLUMNS = ("cell_line", "cell_id")


def _everything(shelf: Shelf) -> list[Entry]:
    """Every line of the folder: of the cassettes, and of all notebooks in the store."""
    found: dict[tuple[Place, str, str], Entry] = {}
    for name in shelf.notebooks():
        for path in shelf.sources(name):
            for place, line in Cassette(path).lines().items():
                found[place, line, name] = Entry(*place, line, True, name)
    for key, ordinal, variant in shelf.recordings.all():
        for name in variant.users if variant.line else ():
            place = (key, ordinal)
            found.setdefault((place, variant.line, name), Entry(*place, variant.line, False, name))
    return list(found.values())


def _says(line: str, wanted: str) -> bool:
    # In JSON quotes and line ends are escaped, and other letters may be.
    forms = {wanted, *(json.dumps(wanted, ensure_ascii=escape)[1:-1] for escape in (False, True))}
    return any(form in line for form in forms)


def _is_of_cell(line: str, wanted: str) -> bool:
    recording = Entry("", 0, line, False, "").recording
    if recording is None:
        return False
    return wanted in str(recording.cell.get("line", "")) or wanted == recording.cell.get("id")


def _row_says(row: Mapping[str, Any], columns: Collection[str], wanted: str) -> bool:
    return any(_says(row[name], wanted) for name in columns if row[name])


def _left(shelf: Shelf, changed: Sequence[Path]) -> list[str]:
    """Where it may still be, out of our reach."""
    told = []
    sources = [path for name in shelf.notebooks() for path in shelf.sources(name)]
    names = " ".join(path.name for path in changed or sources)
    if names and any((above / ".git").exists() for above in (shelf.folder, *shelf.folder.parents)):
        told.append(
            f"git may still hold it in the history of {names}: git log --all -- {names} tells;"
            " commit the change, and git filter-repo takes it out of older commits"
        )
    aside = sorted(path.name for path in shelf.store.folder.parent.glob("*.damaged-*"))
    if aside:
        told.append(
            f"damaged files that were set aside may hold it: {', '.join(aside)}; delete them, as"
            " what can be read of them was brought over"
        )
    if writing := sorted(path.name for path in unfinished(shelf.folder, older_than=0)):
        told.append(f"somebody is writing, or was killed while writing, {', '.join(writing)}")
    told.append("outputs in the notebook itself, and copies of these files, are not changed")
    return told
