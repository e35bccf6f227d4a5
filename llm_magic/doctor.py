"""Why a request was not replayed: the nearest recording, and what differs from it.

::

    no recording for openai/gpt-5-mini in analysis.cassette.jsonl (mode REPLAY): ...
      nearest:     3f2a91c0b7de, ordinal 0, recorded 2026-11-20 by %%complete --out poem
      temperature: asked 0.7, recorded 0.2
      messages:    Write a [-long-]{+short+} poem
      to mend it:  %llm mode FALLBACK, run this cell, %llm cassette save

``[-recorded-]{+asked+}`` as in git. It takes no longer than a second, however much is recorded.
"""

from __future__ import annotations

import contextlib
import heapq
import html
import json
import re
import shlex
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from llm_magic import config, worddiff
from llm_magic.config import Settings
from llm_magic.exceptions import LLMMagicError, ReplayMissError
from llm_magic.recordings import NOT_IN_KEY, Recording, dump_line, parse_row
from llm_magic.secrets import redact
from llm_magic.shelf import Shelf
from llm_magic.types import Request
from llm_magic.worddiff import Piece, visible

__all__ = ["Diagnosis", "Difference", "Nearest", "diagnose"]

# Seconds for looking through the recordings; comparing the best of them takes some more.
_PATIENCE = 0.6
_FINALISTS = 24

# Less likeness than this is chance: every two questions share some words.
_LEAST = 0.2

# How much of a request's beginning and of its end is looked at first.
_GLANCE = 1000


@dataclass(frozen=True, slots=True)
class Nearest:
    """The recording that is most like the request: where it stands and who made it, when."""

    key: str
    ordinal: int
    recorded: date
    cell_line: str
    this_cell: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing other than the messages that differs, both sides as text."""

    name: str
    asked: str
    recorded: str


@dataclass(frozen=True, slots=True, repr=False)
class Diagnosis:
    """Why a request was not replayed, and what to do about it.

    Attributes
    ----------
    message : str
        The error's own message.
    nearest : Nearest or None
        The recording most like the request; None when none is.
    differences : tuple of Difference
        Model, parameters and other fields that differ.
    system, messages : tuple of Piece
        Word by word: the system message, the other messages; empty where they are the same.
    remedy : str
        The commands that mend it.
    searched : int
        How many recordings were looked at.
    complete : bool
        Whether these were all there are.
    """

    message: str
    nearest: Nearest | None = None
    differences: tuple[Difference, ...] = ()
    system: tuple[Piece, ...] = ()
    messages: tuple[Piece, ...] = ()
    remedy: str = ""
    searched: int = 0
    complete: bool = True

    def __repr__(self) -> str:
        return self.to_text()

    def to_text(self) -> str:
        """One block for terminals, tracebacks and CI."""
        return "\n".join([self.message, *self.below()])

    def below(self) -> list[str]:
        """The lines of that block that come below the error's own message."""
        rows = [(name, text) for name, text, _ in self._rows()]
        width = max((len(name) for name, _ in rows), default=0) + 1
        lines = []
        for name, text in rows:
            first, *rest = text.splitlines() or [""]
            lines.append(f"  {name + ':':<{width}} {first}".rstrip())
            lines += [f"  {'':<{width}} {line}".rstrip() for line in rest]
        return lines

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row" style="{_HEAD}">{html.escape(name)}</th>'
            f'<td style="{_CELL}">{shown}</td></tr>'
            for name, _, shown in self._rows()
        )
        return (
            f'<div class="llm-magic-diagnosis tex2jax_ignore mathjax_ignore" style="{_BOX}">'
            f"<div>{html.escape(self.message)}</div><table><tbody>{rows}</tbody></table></div>"
        )

    def _rows(self) -> Iterator[tuple[str, str, str]]:
        """Name, text and HTML of each line."""
        for name, text in self._plain_rows():
            yield name, text, html.escape(text)
        for name, pieces in (("system", self.system), ("messages", self.messages)):
            if pieces:
                yield name, worddiff.to_text(pieces), worddiff.to_html(pieces)
        if self.remedy:
            yield "to mend it", self.remedy, f"<code>{html.escape(self.remedy)}</code>"

    def _plain_rows(self) -> Iterator[tuple[str, str]]:
        near = self.nearest
        more = "" if self.complete else "; there are more, which were not looked at"
        if near is not None:
            cell = " by this cell" if near.this_cell else ""
            if not cell and near.cell_line:
                cell = f" by the cell {near.cell_line}"
            yield (
                "nearest",
                f"{near.key[:12]}, ordinal {near.ordinal}, recorded {near.recorded}{cell}{more}",
            )
        elif self.remedy:
            yield "nearest", f"none of {self.searched:,} recordings is like it{more}"
        for difference in self.differences:
            yield (
                difference.name,
                f"asked {difference.asked}, recorded {difference.recorded}",
            )


_BOX = (
    "color: var(--jp-content-font-color1, inherit);"
    " border-left: 3px solid var(--jp-warn-color1, #f57c00); padding-left: 8px"
)
_HEAD = "text-align: left; vertical-align: top; color: var(--jp-content-font-color2, inherit)"
_CELL = "text-align: left; white-space: pre-wrap; overflow-wrap: anywhere"


def diagnose(error: ReplayMissError, *, shelf: Shelf | None = None) -> Diagnosis:
    """What is known about a miss: the nearest recording and how the request differs from it.

    Parameters
    ----------
    error : ReplayMissError
        The error as it was raised.
    shelf : Shelf, optional
        The recordings; by default those of the folder that the error names.

    Returns
    -------
    Diagnosis
        With the error's message only when nothing is recorded, or the recordings cannot be read.

    Examples
    --------
    >>> import llm_magic
    >>> try:
    ...     answer = llm_magic.complete("Why?", model="echo/echo", mode="REPLAY")
    ... except llm_magic.ReplayMissError as error:
    ...     print(diagnose(error).nearest)
    None
    """
    message = visible(redact(str(error)))
    if error.request is None or error.folder is None:
        return Diagnosis(message)
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            if shelf is None:
                shelf = stack.enter_context(
                    contextlib.closing(Shelf(Settings(error.folder).workspace))
                )
            return _diagnose(error, message, shelf)
    except Exception:
        # Whatever is wrong with the recordings, the miss is what the user has to be told.
        return Diagnosis(message)


def _diagnose(error: ReplayMissError, message: str, shelf: Shelf) -> Diagnosis:
    asked = Request.from_dict(json.loads(redact(dump_line(error.request.to_dict()))))
    search = _Search(asked, error, shelf)
    best = search.best()
    if not search.searched:
        return Diagnosis(message)
    about: dict[str, Any] = {
        "message": message,
        "remedy": visible(_remedy(error)),
        "searched": search.searched,
        "complete": search.complete,
    }
    if best is None:
        return Diagnosis(**about)
    recorded = Request.from_dict(best.request)
    return Diagnosis(
        **about,
        nearest=Nearest(
            best.key,
            best.ordinal,
            best.created.date(),
            visible(str(best.cell.get("line", ""))),
            _same_cell(best, error.cell),
        ),
        differences=(*_differences(asked, recorded), *_numbers(error, best)),
        system=worddiff.compare(_transcript(recorded, True), _transcript(asked, True)),
        messages=worddiff.compare(_transcript(recorded, False), _transcript(asked, False)),
    )


def _remedy(error: ReplayMissError) -> str:
    if config.default().imposed:
        name = shlex.quote(f"{error.notebook or 'NOTEBOOK'}.ipynb")
        return f"llm-magic run {name} --mode FALLBACK && llm-magic cassette export {name}"
    if _OWN_MODE.search(error.cell.get("line") or ""):
        # Its option comes before what %llm mode says.
        return "run this cell once with --mode FALLBACK, %llm cassette save"
    if error.cell:
        return "%llm mode FALLBACK, run this cell, %llm cassette save"
    return 'ask once with mode="FALLBACK"'


_OWN_MODE = re.compile(r"^\s*%%complete\s(?:.*\s)?--mode(?:=|\s|$)")


class _Search:
    """Looks through the recordings of a notebook, first at a glance, then at the best of them."""

    def __init__(self, asked: Request, error: ReplayMissError, shelf: Shelf) -> None:
        self.searched = 0
        self.complete = True
        self._asked = asked
        self._error = error
        self._shelf = shelf
        self._end = time.monotonic() + _PATIENCE
        self._words = _glance("," + '"request":' + dump_line(asked.to_dict()))
        self._cell = error.cell.get("id", "")
        self._count = Counter(worddiff.words(_transcript(asked, None)))

    def best(self) -> Recording | None:
        """The recording most like the request, if one is like it at all."""
        finalists = heapq.nlargest(_FINALISTS, self._glances(), key=lambda found: found[0])
        rated = []
        for _, line in finalists:
            with contextlib.suppress(LLMMagicError, ValueError, TypeError, KeyError):
                recording = Recording.from_line(redact(line))
                rated.append((self._likeness(recording), recording))
        if not rated:
            return None
        likeness, recording = max(rated, key=lambda pair: (pair[0], pair[1].created))
        return recording if likeness >= _LEAST else None

    def _glances(self) -> Iterator[tuple[float, str]]:
        for line in self._lines():
            self.searched += 1
            words = _glance(line)
            score = 2 * len(words & self._words) / (len(words) + len(self._words) or 1)
            if self._error.key in line:
                score += 2
            if self._cell and f'"id":{dump_line(self._cell)}' in line:
                score += 1
            yield score, line
            if time.monotonic() > self._end:
                self.complete = False
                return

    def _lines(self) -> Iterator[str]:
        """Lines of the notebook's cassette, then those of the store that are not among them."""
        name = self._error.notebook
        seen: set[str] = set()
        for notebook in [name] if name else self._shelf.notebooks():
            with contextlib.suppress(LLMMagicError, OSError, UnicodeError):
                cassette = self._shelf.cassette(notebook)
                for line in cassette.lines().values() if cassette is not None else ():
                    seen.add(line)
                    yield line
        # By slices, so that a store of gigabytes is never in memory; keys are spread evenly.
        for digits in range(256):
            rows = self._shelf.store.items(f"answer:{digits:02x}")
            for row in rows:
                with contextlib.suppress(LLMMagicError):
                    for variant in parse_row(row[1]):
                        mine = name is None or not variant.users.keys().isdisjoint((name, ""))
                        if mine and variant.line and variant.line not in seen:
                            yield variant.line

    def _likeness(self, recording: Recording) -> float:
        """From 0 to 1, more for the same request or the same cell."""
        request = Request.from_dict(recording.request)
        count = Counter(worddiff.words(_transcript(request, None)))
        size = count.total() + self._count.total()
        likeness = 2 * (count & self._count).total() / size if size else 1.0
        likeness -= 0.02 * min(5, len(list(_differences(self._asked, request))))
        if request.api != self._asked.api:
            likeness -= 0.5
        if recording.key == self._error.key:
            # Nearer numbers first.
            likeness += 3 - min(1, abs(recording.ordinal - self._error.ordinal) / 1000)
        elif _same_cell(recording, self._error.cell):
            likeness += 0.25
        return likeness


def _glance(line: str) -> set[str]:
    """Some words of the request in a line: enough to tell which recordings to look at."""
    start = max(0, line.find('"request":{'))
    stop = line.find(',"response":{', start)
    text = line[start : stop if stop > 0 else len(line)]
    if len(text) > 2 * _GLANCE:
        text = text[:_GLANCE] + text[-_GLANCE:]
    # Splitting is six times faster than the pattern, which scripts without spaces need.
    ascii_words = text.replace("\\n", " ").replace('"', " ").split
    return set(ascii_words() if text.isascii() else worddiff.words(text))


def _same_cell(recording: Recording, cell: Mapping[str, Any]) -> bool:
    identity = cell.get("id")
    return bool(identity) and recording.cell.get("id") == identity


def _transcript(request: Request, system: bool | None) -> str:
    """Messages as one text: the system's only, all but the system's, or all of them."""
    messages = [
        message
        for message in request.messages
        if system is None or (message.get("role") in ("system", "developer")) is system
    ]
    plain = system or (len(messages) == 1 and messages[0].get("role") == "user")
    return "\n".join(
        _content(message) if plain else f"{message.get('role')}: {_content(message)}"
        for message in messages
    )


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    parts = content if isinstance(content, list) else [content]
    texts = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping) and part.get("type") == "text":
            texts.append(str(part.get("text", "")))
        elif part is not None:
            texts.append(dump_line(part))
    rest = {name: value for name, value in message.items() if name not in ("role", "content")}
    if rest:
        texts.append(dump_line(rest))
    return "\n".join(texts)


def _differences(asked: Request, recorded: Request) -> Iterator[Difference]:
    """What differs besides the messages; what is not in the key makes no difference."""
    for name, ours, theirs in (
        ("model", asked.reference, recorded.reference),
        ("endpoint", asked.endpoint, recorded.endpoint),
        ("cache_seed", asked.cache_seed, recorded.cache_seed),
        ("api", asked.api, recorded.api),
    ):
        # true is not 1, though they are equal.
        if dump_line(ours) != dump_line(theirs):
            yield Difference(name, _short(ours), _short(theirs))
    for name in sorted({*asked.parameters, *recorded.parameters} - NOT_IN_KEY):
        one, other = asked.parameters.get(name, _ABSENT), recorded.parameters.get(name, _ABSENT)
        if not _same(one, other):
            yield Difference(visible(name), *_sides(one, other))


_ABSENT = object()


def _same(one: Any, other: Any) -> bool:
    if one is _ABSENT or other is _ABSENT:
        return one is other
    numbers = type(one) in (int, float) and type(other) in (int, float)
    return one == other if numbers else dump_line(one) == dump_line(other)


def _sides(asked: Any, recorded: Any) -> Sequence[str]:
    """Both values as text; of long ones the part from shortly before where they part."""
    texts = ["" if value is _ABSENT else dump_line(value) for value in (asked, recorded)]
    start = 0
    if all(texts) and max(map(len, texts)) > 80:
        shared = zip(*texts, strict=False)
        start = next((at for at, (a, b) in enumerate(shared) if a != b), min(map(len, texts)))
        start = max(0, start - 20)
    return [_clip(text, start) if text else "without it" for text in texts]


def _clip(text: str, start: int) -> str:
    shown = text[start : start + 80]
    before, after = "…" if start else "", "…" if start + 80 < len(text) else ""
    return visible(f"{before}{shown}{after}")


def _short(value: Any) -> str:
    if value is None:
        return "without it"
    return _clip(value if isinstance(value, str) else dump_line(value), 0)


def _numbers(error: ReplayMissError, nearest: Recording) -> Iterator[Difference]:
    """What keeps a recording of the very same request from being used."""
    if nearest.key != error.key:
        return
    if nearest.ordinal != error.ordinal:
        yield Difference("ordinal", str(error.ordinal), str(nearest.ordinal))
    elif nearest.closed:
        yield Difference("answer", "whole", "as a stream that was closed early")
