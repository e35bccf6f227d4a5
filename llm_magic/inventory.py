"""What is recorded for a notebook: to be listed, looked at and compared."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from llm_magic.exceptions import CassetteError, LLMMagicError
from llm_magic.recordings import Recording, dump_line
from llm_magic.secrets import redact
from llm_magic.shelf import Shelf
from llm_magic.types import Request, content_text
from llm_magic.worddiff import visible

__all__ = [
    "DIFF_HEADER",
    "LIST_HEADER",
    "Entry",
    "diff_rows",
    "entries",
    "list_rows",
    "matching",
    "matching_keys",
    "recorded",
    "unused",
]

LIST_HEADER = ["key", "ordinal", "model", "day", "cell", "prompt", ""]
DIFF_HEADER = ["", "key", "ordinal", "model", "prompt"]

# Enough digits that a slip does not name a recording.
_SHORTEST_PREFIX = 4
_DIGITS = 12


@dataclass(frozen=True)
class Entry:
    """One recording of a notebook, and whether its cassette has it."""

    key: str
    ordinal: int
    line: str
    saved: bool
    notebook: str

    @cached_property
    def recording(self) -> Recording | None:
        """The recording; None for a line that is not one."""
        with contextlib.suppress(ValueError, TypeError, KeyError):
            return Recording.from_line(redact(self.line))
        return None

    @property
    def _readable(self) -> Recording | None:
        """The recording, where its parts are of the kinds that we write."""
        with contextlib.suppress(CassetteError):
            if self.recording is not None:
                self.recording.check_shape()
                return self.recording
        return None

    @property
    def model(self) -> str:
        """``provider/model``; ``?`` for a line that is not a recording."""
        return self._read(lambda recording: recording.reference) or "?"

    @property
    def cell_line(self) -> str:
        """First line of the cell that recorded it."""
        return self._read(lambda recording: str(recording.cell.get("line", "")))

    @property
    def prompt(self) -> str:
        """Text of the last message a person wrote."""
        return self._read(lambda recording: Request.from_dict(recording.request).last_text)

    @property
    def day(self) -> str:
        """Day it was recorded (UTC)."""
        return self._read(lambda recording: recording.created.date().isoformat())

    @property
    def state(self) -> str:
        """``saved``, ``unsaved`` or ``no notebook``."""
        return "no notebook" if not self.notebook else "saved" if self.saved else "unsaved"

    def _read(self, read: Callable[[Recording], str]) -> str:
        if self.recording is None:
            return ""
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
            return visible(read(self.recording))
        return ""

    def about(self) -> list[tuple[str, str]]:
        """Everything but the messages, as names and texts."""
        rows = [
            ("key", self.key),
            ("ordinal", str(self.ordinal)),
            ("model", self.model),
            ("recorded", self.day),
            ("state", self.state),
        ]
        if self.cell_line:
            rows.append(("cell", self.cell_line))
        recording = self._readable
        if recording is not None:
            asked = recording.request
            for name in ("endpoint", "cache_seed", "api"):
                if asked.get(name) not in (None, "chat"):
                    rows.append((name, visible(str(asked[name]))))
            for name, value in sorted((asked.get("parameters") or {}).items()):
                rows.append((visible(name), visible(dump_line(value))))
        return rows

    def spoken(self) -> list[tuple[str, str]]:
        """The messages of the request and the answers, as roles and texts."""
        recording = self._readable
        if recording is None:
            return []
        messages = [
            (str(message.get("role")), message) for message in recording.request["messages"]
        ]
        choices = recording.response["choices"]
        answers = [("answer", choice.get("message") or choice) for choice in choices]
        if not choices:
            answers = [("answer", recording.response)]
        return [(visible(role), visible(_said(message))) for role, message in [*messages, *answers]]

    def __str__(self) -> str:
        lines = [f"{name}: {value}" for name, value in self.about()]
        for role, text in self.spoken():
            lines += ["", f"--- {role}", text]
        return "\n".join(lines)


def _said(message: Mapping[str, Any]) -> str:
    text = content_text(message.get("content")) or str(message.get("text") or "")
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    others = [part for part in parts if not (isinstance(part, Mapping) and "text" in part)]
    calls = message.get("tool_calls") or []
    others += calls if isinstance(calls, list) else [calls]
    shown = [text] if text else []
    shown += [dump_line(part) for part in others]
    return "\n".join(shown) if shown else dump_line(message)


def entries(shelf: Shelf, notebook: str | None) -> list[Entry]:
    """The recordings that a notebook has, saved or not; with the notebook unknown, all."""
    names = [notebook] if notebook is not None else _names(shelf)
    found = []
    for name in names:
        before, after = shelf.contents(name)
        found += [
            Entry(key, ordinal, line, before.get((key, ordinal)) == line, name)
            for (key, ordinal), line in sorted(after.items())
        ]
    return found


def recorded(shelf: Shelf, notebook: str | None, key: str, ordinal: int) -> Entry | None:
    """One recording: the notebook's own, else that of another one here; None without any.

    Unlike a replay it only looks: nobody uses the answer, and nobody shares it.
    """
    own = notebook or ""
    variants = [one for one in shelf.recordings.variants(key, ordinal) if not one.dropped]
    unsaved = [one.line for one in variants if one.users.get(own, 0) is None]
    cassette = shelf.cassette(notebook) if notebook else None
    saved = cassette.line(key, ordinal) if cassette is not None else None
    # A stable order: the notebook's own before those of others.
    others = [one.line for one in sorted(variants, key=lambda one: own not in one.users)]
    line = next(filter(None, [*unsaved, saved, *others]), None)
    return Entry(key, ordinal, line, line == saved, own) if line else None


def _names(shelf: Shelf) -> list[str]:
    users = {name for _, _, variant in shelf.recordings.all() for name in variant.users}
    return sorted(users | set(shelf.notebooks()))


def matching(found: Sequence[Entry], prefix: str) -> list[Entry]:
    """The entries whose key begins so; of one key only.

    Raises
    ------
    LLMMagicError
        When there is none, or more than one key.
    """
    keys = matching_keys((entry.key for entry in found), prefix)
    return [entry for entry in found if entry.key in keys]


def matching_keys(keys: Iterable[str], prefix: str) -> set[str]:
    """The key that begins so; raises as :func:`matching` does."""
    prefix = prefix.lower().removesuffix("…")
    if len(prefix) < _SHORTEST_PREFIX:
        raise LLMMagicError(f"{prefix!r} is too short for a key; write {_SHORTEST_PREFIX} digits")
    matches = {key for key in keys if key.startswith(prefix)}
    if not matches:
        raise LLMMagicError(f"nothing is recorded under a key that begins with {prefix!r}")
    if len(matches) > 1:
        shown = ", ".join(key[: max(_DIGITS, len(prefix) + 4)] for key in sorted(matches)[:8])
        more = f" and {len(matches) - 8} more" if len(matches) > 8 else ""
        raise LLMMagicError(f"{prefix!r} is the beginning of several keys: {shown}{more}")
    return matches


def list_rows(found: Iterable[Entry], text: str = "") -> list[list[str]]:
    """Rows under ``LIST_HEADER``; of those that hold the text somewhere, in any case."""
    wanted = text.casefold()
    return [
        [
            entry.key[:_DIGITS],
            str(entry.ordinal),
            entry.model,
            entry.day,
            _first_words(entry.cell_line, 32),
            _first_words(entry.prompt, 48),
            entry.state,
        ]
        for entry in found
        if not wanted or _mentions(entry, wanted)
    ]


def _mentions(entry: Entry, wanted: str) -> bool:
    texts = [entry.key, entry.model, entry.day, entry.cell_line, entry.state]
    texts += [text for _, text in entry.spoken()]
    return any(wanted in text.casefold() for text in texts)


def _first_words(text: str, most: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def diff_rows(shelf: Shelf, notebook: str) -> list[list[str]]:
    """What a save would change in the notebook's cassette, as rows under ``DIFF_HEADER``."""
    before, after = shelf.contents(notebook)
    rows = []
    for place in sorted(before.keys() | after.keys()):
        old, new = before.get(place), after.get(place)
        if old == new:
            continue
        word = "new" if old is None else "removed" if new is None else "replaced"
        entry = Entry(*place, new or old or "", False, notebook)
        prompt = _first_words(entry.prompt, 60)
        rows.append([word, entry.key[:_DIGITS], str(entry.ordinal), entry.model, prompt])
    return rows


def unused(shelf: Shelf, notebook: str) -> list[Entry]:
    """Recordings of a notebook that this process did not use."""
    return [
        entry for entry in entries(shelf, notebook) if (entry.key, entry.ordinal) not in shelf.used
    ]
