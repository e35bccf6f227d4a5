r"""What of a cell's outputs is compared, and what may differ from run to run.

Compared are text on stdout, every form of displayed data and results, and the name and message of
an error. Left out are:

- what is written to stderr: warnings, logs and progress bars, which hold paths and times (an error
  that IPython writes there, a UsageError, counts all the same: ``checks`` adds it);
- execution counts, display ids, metadata, tracebacks, and the ids of widgets;
- everything in a PNG but its picture, such as the version of matplotlib;
- of an answer's provenance: live or replayed, when, how long, what it cost, its notes;
- how llm-magic draws an answer, which another version does otherwise: of its HTML the words count;
- all outputs but errors of cells that hold nothing but ``%llm`` lines, and tables that ``%llm``
  shows elsewhere, panels and cost meters: they tell of this machine's ledger, keys and settings;
- all outputs but errors of cells with the tag ``llm-magic-volatile``;
- in any text, what :data:`RULES` names; in an answer of ours, which is replayed letter by letter,
  only those of them that are about what llm-magic writes beside it.
"""

from __future__ import annotations

import difflib
import hashlib
import html
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

__all__ = ["RULES", "TAG", "Item", "Rule", "difference", "items", "steady"]

TAG = "llm-magic-volatile"
PROVENANCE = "application/vnd.llm-magic+json"
WIDGET = "application/vnd.jupyter.widget-view+json"

# The parts of an answer's provenance that are the same live and replayed, today and tomorrow.
_LASTING = ("finish_reason", "key", "model", "ordinal", "provider", "tokens", "version")


@dataclass(frozen=True, slots=True)
class Rule:
    """Something in a text that differs from run to run, and what stands for it."""

    what: str
    pattern: re.Pattern[str]
    stands: str | Callable[[re.Match[str]], str]


def _without_addresses(shown: re.Match[str]) -> str:
    # One object may name several, as a weak reference does.
    return re.sub(r"(?<= at )0x[0-9a-fA-F]{6,16}\b", "0x…", shown[0])


# What Python calls what has no name, as in <function f.<locals>.<lambda> at 0x...>. One object has
# a few; without a bound, a long text of nothing else would be read to its end from each of them.
_NAMES = r"(?:<(?:lambda|locals|genexpr|listcomp|setcomp|dictcomp|module)>[^<>\n]*){0,8}"

_OF_ANYBODY: Sequence[Rule] = tuple(
    Rule(what, re.compile(pattern, re.MULTILINE), stands)
    for what, pattern, stands in (
        ("colours and other terminal codes", r"\x1b\[[0-9;?]*[A-Za-z]", ""),
        ("lines that a carriage return wrote over", r"^[^\n]*\r(?!\n|$)", ""),
        ("ends of lines", r"(?<![ \t\r])[ \t\r]+$", ""),
        (
            "addresses in memory, as Python shows its objects",
            rf"(?:<|&lt;)(?=\S)[^<>\n]*{_NAMES} at 0x[0-9a-fA-F]{{6,16}}\b[^<>\n]*",
            _without_addresses,
        ),
        ("UUIDs", r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UUID"),
        ("file names of cells", r"\bipykernel_\d+/\d+\.py", "ipykernel/cell.py"),
        ("names of temporary files", r"(?<=[/\\])tmp[a-z0-9_]{8}(?!\w)", "tmp…"),
        (
            "what %%time and %timeit measure",
            r"^(?:CPU times: user .*|Wall time: .*|[\d.]+ [mµun]?s ± .* per loop .*)$",
            "TIME",
        ),
        ("ids of a pandas Styler", r"\bT_[0-9a-f]{5}(?=_|\b)", "T_…"),
        ("dates and ids in matplotlib's SVG", r"<dc:date>[^<]*</dc:date>", "<dc:date/>"),
        (
            "dates and ids in matplotlib's SVG",
            r"(?<=[\"#])[mp][0-9a-f]{10}(?=[\")])",
            "ID",
        ),
    )
)

# What llm-magic writes beside an answer.
_OF_OURS: Sequence[Rule] = tuple(
    Rule(what, re.compile(pattern, re.MULTILINE), stands)
    for what, pattern, stands in (
        (
            "cost and time in a table of models side by side",
            r'(?<=llm-magic-measured")([^>]*>)[^<]*',
            r"\1",
        ),
        (
            "cost, time and notes in the footer of an answer",
            r"( · (?:[\d,]+ \+ [\d,]+|\?) tokens) · \$[\d.,?]+ · (?:live|replayed).*"
            r"(?:\nnote: .*)*",
            r"\1",
        ),
    )
)

RULES: Sequence[Rule] = (*_OF_ANYBODY, *_OF_OURS)


def steady(text: str, rules: Sequence[Rule] = RULES) -> str:
    """The text without what :data:`RULES` names.

    >>> steady("<Thing at 0x7f3a2c1d90>")
    '<Thing at 0x…>'
    """
    for rule in rules:
        text = rule.pattern.sub(rule.stands, text)
    return text


@dataclass(frozen=True, slots=True)
class Item:
    """One form of one output of a cell, as it is compared."""

    output: int
    form: str
    text: str


def items(cell: Any, outputs: Sequence[Any]) -> list[Item]:
    """The outputs of a cell as they are compared.

    Parameters
    ----------
    cell : nbformat.NotebookNode
        The cell: its source and its tags decide whether outputs count.
    outputs : sequence of nbformat.NotebookNode
        Its outputs, saved or new.
    """
    kept = [output for output in outputs if output.get("name") != "stderr"]
    if _tells_of_this_machine(cell.source) or TAG in cell.metadata.get("tags", []):
        kept = [output for output in kept if output.output_type == "error"]
    return [
        Item(number, form, text)
        for number, output in enumerate(_joined(kept))
        for form, text in _forms(output)
    ]


def difference(saved: Sequence[Item], new: Sequence[Item]) -> str:
    """A unified diff of the two; empty when they are the same."""
    if list(saved) == list(new):
        return ""
    # Where the plain text shows the difference, the other forms would only repeat it.
    plain = _told(saved, plain=True), _told(new, plain=True)
    one, other = plain if plain[0] != plain[1] else (_told(saved), _told(new))
    return "\n".join(difflib.unified_diff(one, other, "saved", "replayed", n=2, lineterm=""))


def _told(shown: Sequence[Item], *, plain: bool = False) -> list[str]:
    lines = []
    for _, group in groupby(shown, lambda item: item.output):
        forms = list(group)
        texts = {"stdout", "error", "text/plain"}
        if plain and any(item.form in texts for item in forms):
            forms = [item for item in forms if item.form in texts]
        for item in forms:
            if item.form not in texts:
                lines.append(f"[{item.form}]")
            lines += item.text.split("\n")
    return lines


def _tells_of_this_machine(source: str) -> bool:
    lines = [line.strip() for line in source.splitlines()]
    words = [line.split()[:2] for line in lines if line and not line.startswith("#")]
    ours = (["%load_ext", "llm_magic"], ["%reload_ext", "llm_magic"])
    return bool(words) and all(pair[0] == "%llm" or pair in ours for pair in words)


def _joined(outputs: Sequence[Any]) -> Iterator[Any]:
    """The outputs, with text that was printed in pieces in one."""
    for is_text, group in groupby(outputs, lambda output: output.output_type == "stream"):
        if is_text:
            yield {"output_type": "stream", "text": "".join(output.text for output in group)}
        else:
            yield from group


# How a table of %llm begins, and a panel or a cost meter that somebody reads without its kernel.
_FIGURES = ('<table class="llm-magic-table', '<div class="llm-magic-snapshot')


def _forms(output: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if output["output_type"] == "stream":
        yield "stdout", steady(output["text"]).rstrip("\n")
    elif output["output_type"] == "error":
        yield "error", steady(f"{output['ename']}: {output['evalue']}").rstrip("\n")
    else:
        data = output["data"]
        if str(data.get("text/html", "")).startswith(_FIGURES):
            yield "text/plain", "figures of this machine"
            return
        rules = _OF_OURS if PROVENANCE in data else RULES
        for form in sorted(data):
            if form == "text/html" and PROVENANCE in data:
                yield form, _words(str(data[form]))
            else:
                yield form, _form(form, data[form], rules)


_TAGS = re.compile(r"<style\b.*?</style>|<[^<>]*>", re.DOTALL)


def _words(page: str) -> str:
    """The words of HTML of ours, one a line; in it no quoted attribute holds a bracket."""
    return "\n".join(steady(html.unescape(_TAGS.sub(" ", page)), _OF_OURS).split())


def _form(form: str, value: Any, rules: Sequence[Rule]) -> str:
    if form == PROVENANCE and isinstance(value, Mapping):
        value = {name: value.get(name) for name in _LASTING}
    elif form == WIDGET:
        return "a widget"
    elif form == "image/png":
        return _picture(value)
    if isinstance(value, str):
        return steady(value, rules).rstrip("\n")
    return steady(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False), rules)


_PNG = b"\x89PNG\r\n\x1a\n"


def _picture(value: str) -> str:
    """The size of a PNG and a digest of its picture."""
    import base64

    try:
        data = base64.b64decode(value)
    except ValueError:
        return value
    parts = list(_chunks(data)) if data.startswith(_PNG) else []
    picture = [(kind, content) for kind, content in parts if kind in (b"IHDR", b"PLTE", b"tRNS")]
    digest = hashlib.sha256(b"".join(content for _, content in picture))
    try:
        for pixels in _inflated(b"".join(content for kind, content in parts if kind == b"IDAT")):
            digest.update(pixels)
    except zlib.error:
        picture, digest = [], hashlib.sha256(data)
    header = dict(picture).get(b"IHDR", b"")
    width, height = (int.from_bytes(header[at : at + 4], "big") for at in (0, 4))
    return f"{width} x {height} pixels, digest {digest.hexdigest()[:16]}"


def _inflated(data: bytes) -> Iterator[bytes]:
    """The data without its compression, by the megabyte: a small file may hold gigabytes."""
    decompressor = zlib.decompressobj()
    while not decompressor.eof:
        piece = decompressor.decompress(data, 1_000_000)
        if not piece and not decompressor.unconsumed_tail:
            raise zlib.error("it ends too soon")
        yield piece
        data = decompressor.unconsumed_tail


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_PNG)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += length + 12
