"""Cassettes: the recordings of a notebook as a text file beside it, for git.

The first line is a constant header, each further line one recording; lines are sorted and written
byte for byte as they are stored, so that saving what did not change changes nothing::

    {"format":"llm-magic cassette","key_schema":1,"notebook":"analysis.ipynb","version":1}
    {"call":"...","created":"...","key":"...","ordinal":0,"request":{...},"response":{...}}
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from llm_magic import packed
from llm_magic.exceptions import CassetteError
from llm_magic.recordings import KEY_SCHEMA, Recording, dump_line

__all__ = [
    "ENDING",
    "Cassette",
    "CassetteChangedError",
    "Place",
    "Spans",
    "remove_unfinished",
    "stamp_of",
    "unfinished",
    "write",
]

FORMAT = "llm-magic cassette"
VERSION = 1
ENDING = ".cassette.jsonl"
NOTEBOOK = ".ipynb"
# A cassette is read into memory; this is twenty times what git hosts take.
LARGEST = 2 * 1024**3
# What a file is called while it is written; and seconds that no write takes.
_UNFINISHED = ".llm-magic-writing"
_WRITING = 300.0

# An answer of one notebook: key and ordinal.
Place = tuple[str, int]
# A line of a cassette: its first byte, its end, its number.
Span = tuple[int, int, int]
# State of a file: time of its last change (ns), size (bytes), inode.
Stamp = tuple[int, int, int]

# Our own lines have sorted fields, so these three stand together and before any nested text that
# could hold the same characters unescaped. Other lines are parsed whole.
_PLACE = re.compile(rb'"key":"([0-9a-f]{64})","latency_ms":[0-9.e+-]+,"ordinal":([0-9]+),')
# What stands in place of a file that git lfs keeps and has not fetched.
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_CONFLICT = (b"<<<<<<<", b"=======", b">>>>>>>", b"|||||||")


class CassetteChangedError(CassetteError):
    """The file is no longer the one that was opened; look at it anew."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} was changed while it was read; do it again")


class Spans(Protocol):
    """Where the lines of a cassette stand."""

    def of(self, key: str) -> Mapping[int, Span]:
        """First byte, end and line number of each answer to a request, by ordinal."""
        ...

    def __iter__(self) -> Iterator[Place]: ...

    def __len__(self) -> int: ...


class ScannedSpans:
    """The spans of a cassette that was read from its first byte to its last."""

    def __init__(self, path: Path, content: bytes) -> None:
        self.by_key = _scan(path, content)

    def of(self, key: str) -> Mapping[int, Span]:
        """First byte, end and line number of each answer to a request, by ordinal."""
        return self.by_key.get(key, {})

    def __iter__(self) -> Iterator[Place]:
        return ((key, ordinal) for key, spans in self.by_key.items() for ordinal in spans)

    def __len__(self) -> int:
        return sum(map(len, self.by_key.values()))


class Cassette:
    """One cassette as it is now: where each recording stands, read when it is asked for.

    Parameters
    ----------
    path : pathlib.Path
        The cassette file, or a notebook that carries one.
    index : tuple of (str, Spans), optional
        Digest of the file and where its lines are, from an earlier reading. Without it the whole
        file is read and checked.

    Attributes
    ----------
    stamp : tuple or None
        State of the file that this is.
    digest : str
        SHA-256 of its bytes, in hexadecimal digits.
    spans : Spans
        Where its lines stand.

    Raises
    ------
    CassetteError
        For a file that is not a cassette, holds git's conflict markers or two answers in one
        place; the message names the lines.
    """

    def __init__(self, path: Path, *, index: tuple[str, Spans] | None = None) -> None:
        self.path = path
        self.stamp = stamp_of(path)
        self._content: bytes | None = None
        self.spans: Spans
        if index is not None:
            self.digest, self.spans = index
            return
        content = _content(path)
        self.digest = hashlib.sha256(content).hexdigest()
        self.spans = ScannedSpans(path, content)
        if path.suffix == NOTEBOOK:
            # Its lines are escaped in there: they cannot be read one by one.
            self._content = content

    def __contains__(self, place: Place) -> bool:
        return place[1] in self.spans.of(place[0])

    def __iter__(self) -> Iterator[Place]:
        return iter(self.spans)

    def __len__(self) -> int:
        return len(self.spans)

    def ordinals(self, key: str) -> list[int]:
        """Ordinals of the answers to a request."""
        return sorted(self.spans.of(key))

    def line(self, key: str, ordinal: int) -> str | None:
        """The line of a recording, checked; None when the cassette does not have it.

        Raises
        ------
        CassetteError
            When the line is not one that was saved.
        CassetteChangedError
            When the file was changed meanwhile.
        """
        span = self.spans.of(key).get(ordinal)
        if span is None:
            return None
        text = self._text(span)
        try:
            recording = Recording.from_line(text)
            recording.check()
        except (ValueError, TypeError, KeyError) as error:
            raise CassetteError(f"{self.path}:{span[2]}: {error}") from None
        if (recording.key, recording.ordinal) != (key, ordinal):
            if not isinstance(self.spans, ScannedSpans):
                # Edited in place, and its time of change put back.
                raise CassetteChangedError(self.path)
            raise CassetteError(f"{self.path}:{span[2]} holds a key twice")
        return text

    def lines(self) -> dict[Place, str]:
        """All lines by place."""
        content = _content(self.path) if self._content is None else self._content
        if hashlib.sha256(content).hexdigest() != self.digest:
            raise CassetteChangedError(self.path)
        return {
            (key, ordinal): _decoded(content[start:stop], self.path, number)
            for key, ordinal in self.spans
            for start, stop, number in [self.spans.of(key)[ordinal]]
        }

    def _text(self, span: Span) -> str:
        start, stop, number = span
        if self._content is not None:
            raw = self._content[start:stop]
        else:
            try:
                with self.path.open("rb") as file:
                    if _stamp(os.fstat(file.fileno())) != self.stamp:
                        raise CassetteChangedError(self.path)
                    file.seek(start)
                    raw = file.read(stop - start)
            except FileNotFoundError:
                raise CassetteChangedError(self.path) from None
            except OSError as error:
                raise CassetteError(f"{self.path} cannot be read: {error}") from None
        return _decoded(raw, self.path, number)


def _scan(path: Path, content: bytes) -> dict[str, dict[int, Span]]:
    """The span of every line by key and ordinal; raises for what is not a cassette."""
    found: dict[str, dict[int, Span]] = {}
    start = 0
    for number, raw in enumerate(content.split(b"\n"), 1):
        line, offset, start = raw.rstrip(b"\r"), start, start + len(raw) + 1
        if line.startswith(_CONFLICT):
            raise CassetteError(
                f"{path}:{number}: a conflict of git; keep the lines of one side, remove the"
                " markers"
            )
        if number == 1:
            _check_header(line, path)
            continue
        if not line.strip():
            continue
        key, ordinal = _place(line, path, number)
        spans = found.setdefault(key, {})
        if ordinal in spans:
            begin, stop, first = spans[ordinal]
            if content[begin:stop] != line:
                raise CassetteError(
                    f"{path}:{first} and :{number} hold two answers to one request"
                    f" ({key[:12]}…, number {ordinal}); remove one of the lines"
                )
        spans[ordinal] = (offset, offset + len(line), number)
    return found


def _check_header(line: bytes, path: Path) -> None:
    if line.startswith(_LFS_POINTER):
        raise CassetteError(
            f"{path} is a pointer of git lfs, not the cassette; git lfs pull fetches it"
        )
    header = _parse(line, path, 1) if line.strip() else {}
    if header.get("format") != FORMAT:
        raise CassetteError(f"{path}:1 is not the header of a cassette")
    for name, ours in {"version": VERSION, "key_schema": KEY_SCHEMA}.items():
        theirs = header.get(name)
        if not isinstance(theirs, int) or theirs > ours:
            raise CassetteError(
                f"{path}:1 was written by a newer llm-magic; pip install -U llm-magic"
            )


def _parse(line: bytes, path: Path, number: int) -> Mapping[str, object]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CassetteError(f"{path}:{number} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise CassetteError(f"{path}:{number} is not a recording")
    return value


def _place(line: bytes, path: Path, number: int) -> Place:
    if found := _PLACE.search(line):
        return found[1].decode(), int(found[2])
    fields = _parse(line, path, number)
    key, ordinal = fields.get("key"), fields.get("ordinal")
    if not isinstance(key, str) or not isinstance(ordinal, int):
        raise CassetteError(f"{path}:{number} is not a recording: no key or ordinal")
    return key, ordinal


def _content(path: Path) -> bytes:
    if path.suffix == NOTEBOOK:
        return packed.content(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise CassetteError(f"{path} cannot be read: {error}") from None


def _decoded(raw: bytes, path: Path, number: int) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise CassetteError(f"{path}:{number} is not UTF-8: {error}") from None


def dump(notebook: str, lines: Mapping[Place, str]) -> bytes:
    """The bytes of a cassette: the header, then the lines in the order of their places."""
    header = dump_line(
        {
            "format": FORMAT,
            "key_schema": KEY_SCHEMA,
            "notebook": f"{notebook}{NOTEBOOK}",
            "version": VERSION,
        }
    )
    return "".join(f"{line}\n" for line in [header, *(lines[at] for at in sorted(lines))]).encode()


def write(path: Path, notebook: str, lines: Mapping[Place, str]) -> bytes:
    """Write a cassette at once or not at all; returns its bytes.

    An existing file with the same bytes is left alone, time stamp included. In a packed notebook
    its cassette is replaced.
    """
    data = dump(notebook, lines)
    try:
        if path.suffix == NOTEBOOK:
            replace(path, packed.with_cassette(packed.read_notebook(path), data))
        elif not path.exists() or path.read_bytes() != data:
            replace(path, data)
    except OSError as error:
        raise CassetteError(f"{path} cannot be written: {error}") from None
    return data


def replace(path: Path, data: bytes) -> None:
    """Write a file at once or not at all, with the rights of the one it replaces.

    A link stays one: what it points to is written.
    """
    path = path.resolve()
    handle, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.name}.", suffix=_UNFINISHED
    )
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files for their owner only; a cassette is a file like any other.
        os.chmod(temporary, path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    remove_unfinished(path.parent)


def remove_unfinished(folder: Path) -> None:
    """Remove what :func:`unfinished` finds; what somebody else owns stays."""
    for path in unfinished(folder):
        with contextlib.suppress(OSError):
            path.unlink()


def unfinished(folder: Path, *, older_than: float = _WRITING) -> list[Path]:
    """What writes of cassettes and notebooks left that were killed in their middle.

    Parameters
    ----------
    folder : pathlib.Path
        Where they were to be written.
    older_than : float
        Seconds; by default more than a write takes, so that nothing is meant that somebody writes.
    """
    found = []
    for path in folder.glob(f".*{_UNFINISHED}"):
        if not path.is_symlink():
            # Another process may remove it meanwhile, or have come to its end.
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                if stat.S_ISREG(status.st_mode) and time.time() - status.st_mtime >= older_than:
                    found.append(path)
    return sorted(found)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def stamp_of(path: Path) -> Stamp | None:
    """What tells one state of a cassette file from another; None when there is no file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
        raise CassetteError(
            f"{path} cannot be read: it is no file, or larger than {LARGEST:,} bytes"
        )
    return _stamp(status)


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_mtime_ns, status.st_size, status.st_ino
