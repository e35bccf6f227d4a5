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
from collections.abc import Iterator, Mapping
from pathlib import Path

from llm_magic.exceptions import CassetteError
from llm_magic.recordings import KEY_SCHEMA, Recording, dump_line

__all__ = ["ENDING", "Cassette", "Place", "stamp_of", "write"]

FORMAT = "llm-magic cassette"
VERSION = 1
ENDING = ".cassette.jsonl"
# A cassette is read into memory; this is twenty times what git hosts take.
LARGEST = 2 * 1024**3

# An answer of one notebook: key and ordinal.
Place = tuple[str, int]

# Our own lines have sorted fields, so these three stand together and before any nested text that
# could hold the same characters unescaped. Other lines are parsed whole.
_PLACE = re.compile(rb'"key":"([0-9a-f]{64})","latency_ms":[0-9.e+-]+,"ordinal":([0-9]+),')
_CONFLICT = (b"<<<<<<<", b"=======", b">>>>>>>", b"|||||||")


class Cassette:
    """One cassette file as it is now: where each recording stands, read when it is asked for.

    Raises
    ------
    CassetteError
        For a file that is not a cassette, holds git's conflict markers or two answers in one
        place; the message names the lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CassetteError(f"{path} cannot be read: {error}") from None
        self.digest = hashlib.sha256(content).hexdigest()
        self._content = content
        self._lines: dict[Place, tuple[int, int, int]] = {}
        self._scan()

    def _scan(self) -> None:
        start = 0
        for number, raw in enumerate(self._content.split(b"\n"), 1):
            line, offset, start = raw.rstrip(b"\r"), start, start + len(raw) + 1
            if line.startswith(_CONFLICT):
                raise CassetteError(
                    f"{self.path}:{number}: a conflict of git; keep the lines of one side, remove"
                    " the markers"
                )
            if number == 1:
                self._check_header(line)
                continue
            if not line.strip():
                continue
            place = self._place(line, number)
            if place in self._lines:
                first = self._lines[place][2]
                if self._bytes(place) != line:
                    raise CassetteError(
                        f"{self.path}:{first} and :{number} hold two answers to one request"
                        f" ({place[0][:12]}…, number {place[1]}); remove one of the lines"
                    )
            self._lines[place] = (offset, offset + len(line), number)

    def _check_header(self, line: bytes) -> None:
        header = self._parse(line, 1) if line.strip() else {}
        if header.get("format") != FORMAT:
            raise CassetteError(f"{self.path}:1 is not the header of a cassette")
        versions = {"version": VERSION, "key_schema": KEY_SCHEMA}
        for name, ours in versions.items():
            theirs = header.get(name)
            if isinstance(theirs, int) and theirs <= ours:
                continue
            raise CassetteError(
                f"{self.path}:1 was written by a newer llm-magic; pip install -U llm-magic"
            )

    def _parse(self, line: bytes, number: int) -> Mapping[str, object]:
        try:
            value = json.loads(line)
        except ValueError as error:
            raise CassetteError(f"{self.path}:{number} is not JSON: {error}") from None
        if not isinstance(value, dict):
            raise CassetteError(f"{self.path}:{number} is not a recording")
        return value

    def _place(self, line: bytes, number: int) -> Place:
        if found := _PLACE.search(line):
            return found[1].decode(), int(found[2])
        fields = self._parse(line, number)
        key, ordinal = fields.get("key"), fields.get("ordinal")
        if not isinstance(key, str) or not isinstance(ordinal, int):
            raise CassetteError(f"{self.path}:{number} is not a recording: no key or ordinal")
        return key, ordinal

    def _bytes(self, place: Place) -> bytes:
        start, stop, _ = self._lines[place]
        return self._content[start:stop]

    def _text(self, place: Place) -> str:
        try:
            return self._bytes(place).decode()
        except UnicodeDecodeError as error:
            raise CassetteError(
                f"{self.path}:{self._lines[place][2]} is not UTF-8: {error}"
            ) from None

    def __contains__(self, place: object) -> bool:
        return place in self._lines

    def __iter__(self) -> Iterator[Place]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def line(self, key: str, ordinal: int) -> str | None:
        """The line of a recording, checked; None when the cassette does not have it."""
        if (key, ordinal) not in self._lines:
            return None
        number = self._lines[key, ordinal][2]
        text = self._text((key, ordinal))
        try:
            recording = Recording.from_line(text)
            recording.check()
        except (ValueError, TypeError, KeyError) as error:
            raise CassetteError(f"{self.path}:{number}: {error}") from None
        if (recording.key, recording.ordinal) != (key, ordinal):
            raise CassetteError(f"{self.path}:{number} holds a key twice")
        return text

    def lines(self) -> dict[Place, str]:
        """All lines by place."""
        return {place: self._text(place) for place in self._lines}


def write(path: Path, notebook: str, lines: Mapping[Place, str]) -> bytes:
    """Write a cassette at once or not at all; returns its bytes.

    An existing file with the same bytes is left alone, time stamp included.
    """
    header = dump_line(
        {
            "format": FORMAT,
            "key_schema": KEY_SCHEMA,
            "notebook": f"{notebook}.ipynb",
            "version": VERSION,
        }
    )
    content = "".join(f"{line}\n" for line in [header, *(lines[at] for at in sorted(lines))])
    data = content.encode()
    try:
        if not path.exists() or path.read_bytes() != data:
            _replace(path, data)
    except OSError as error:
        raise CassetteError(f"{path} cannot be written: {error}") from None
    return data


def _replace(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def stamp_of(path: Path) -> tuple[int, int, int] | None:
    """What tells one state of a cassette file from another; None when there is no file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
        raise CassetteError(
            f"{path} cannot be read: it is no file, or larger than {LARGEST:,} bytes"
        )
    return status.st_mtime_ns, status.st_size, status.st_ino
