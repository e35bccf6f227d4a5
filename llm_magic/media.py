r"""Images, PDF files, audio, text files and tables as parts of a message, in OpenAI's shape.

>>> part(b"Kepler-186f, 582 light years", name="planet.txt")
{'type': 'text', 'text': 'File: planet.txt\n\nKepler-186f, 582 light years'}

What something is, its first bytes tell; the name and the media type count where these are silent.
Nothing of the machine enters a part (no folder, no system table of types, no line ends of Windows),
so that a file gives the same part, and the request the same key, wherever the notebook runs. The
picture of a figure or of an image in memory is drawn anew each time, by whatever version of its
library is installed: to replay it elsewhere, save it to a file and send that.
"""

from __future__ import annotations

import binascii
import hashlib
import io
import operator
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from llm_magic.exceptions import ParameterError, did_you_mean
from llm_magic.types import plain

__all__ = ["MAX_BYTES", "content", "keyed", "part", "table_text"]

Part = dict[str, Any]

# The smallest of the providers' limits on one request, base64 included, is near this.
MAX_BYTES = 20_000_000

# How files begin. RIFF: https://www.rfc-editor.org/rfc/rfc2361, ID3: https://id3.org/id3v2.3.0,
# MPEG audio: a frame of layer III begins with 11 set bits.
_MAGIC = tuple(
    (re.compile(pattern, re.DOTALL), media_type)
    for pattern, media_type in (
        (rb"\x89PNG\r\n\x1a\n", "image/png"),
        (rb"\xff\xd8\xff", "image/jpeg"),
        (rb"GIF8[79]a", "image/gif"),
        (rb"RIFF....WEBP", "image/webp"),
        (rb"%PDF-\d", "application/pdf"),
        (rb"(?:RIFF|RF64)....WAVE", "audio/wav"),
        (rb"ID3[\x02-\x04]\x00|\xff[\xe2\xe3\xf2\xf3\xfa\xfb]", "audio/mpeg"),
        (rb"OggS\x00", "audio/ogg"),
        (rb"fLaC[\x00\x80]", "audio/flac"),
    )
)

# Not the mimetypes module: what it knows depends on the system, and on the version of Python.
_EXTENSIONS = {
    ".flac": "audio/flac",
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".mp3": "audio/mpeg",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".wav": "audio/wav",
    ".webp": "image/webp",
}
_ALIASES = {
    "application/x-pdf": "application/pdf",
    "audio/mp3": "audio/mpeg",
    "audio/vnd.wave": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/x-flac": "audio/flac",
    "audio/x-wav": "audio/wav",
    "image/jpg": "image/jpeg",
}
_AUDIO_FORMATS = {
    "audio/flac": "flac",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/wav": "wav",
}
_SUPPORTED = (
    "images (PNG, JPEG, GIF, WebP), PDF, audio (WAV, MP3, Ogg, FLAC) and text in UTF-8 can be sent"
)
_TABLES = ("csv", "markdown")


def part(
    value: Any,
    *,
    name: str | None = None,
    media_type: str | None = None,
    table: str = "csv",
    max_bytes: int = MAX_BYTES,
) -> Part:
    """The part of a message that shows a value to the model.

    Parameters
    ----------
    value : path, URL, bytes, file, table, image or figure
        A path to a file (``str`` or ``Path``); an http(s) URL of an image; a ``data:`` URL; bytes;
        an open file; a pandas DataFrame or Series; a Pillow image; a matplotlib figure or axes. A
        dict with a ``type`` is a part already.
    name : str, optional
        What the model is told the file is called; by default the file's own name.
    media_type : str, optional
        What it is, where neither its first bytes nor its name tell.
    table : {"csv", "markdown"}
        How a DataFrame or a Series is written.
    max_bytes : int
        More than this is refused.

    Raises
    ------
    ParameterError
        For what is not there, empty, too large, or of no kind that models take.

    Examples
    --------
    ::

        part("chart.png")                   an image
        part("https://example.com/a.jpg")   an image that the provider fetches
        part("report.pdf")                  a file
        part("question.mp3")                audio
        part("main.py")                     text, under a line with its name
        part(frame, table="markdown")       text
        part(figure)                        an image, PNG
    """
    if table not in _TABLES:
        raise ParameterError(f"table={table!r}: {did_you_mean(str(table), _TABLES)}")
    if isinstance(value, Mapping) and "type" in value:
        return dict(plain(value, "part"))
    if _is_web_url(value):
        return _linked_image(value, media_type)
    source = _source(value, _Options(table, max_bytes))
    return _part(
        _Source(source.data, name or source.name, media_type or source.media_type), max_bytes
    )


def content(text: str, values: Any, **options: Any) -> list[Part]:
    """The content of a message: the text, then a part for each value.

    Parameters
    ----------
    text : str
        May be empty, and is left out then.
    values : list or tuple
        What :func:`part` takes; one such value may stand for a list of one.
    **options
        Of :func:`part`, for every value.
    """
    listed = values if isinstance(values, (list, tuple)) else [values]
    first: list[Part] = [{"type": "text", "text": text}] if text else []
    return first + [part(value, **options) for value in listed]


def table_text(frame: Any, table: str = "csv") -> str:
    """A pandas DataFrame or Series as CSV or as a Markdown table.

    An index that only counts the rows is left out.
    """
    index = frame.index
    counts = type(index).__name__ == "RangeIndex" and index.name is None
    if table == "csv":
        return str(frame.to_csv(index=not counts, lineterminator="\n"))

    frame = frame if hasattr(frame, "columns") else frame.to_frame()
    # Missing values would be read as a word: nan, NaT, <NA>.
    cells = frame.astype(object).where(frame.notna(), "")
    header = [_joined(column) for column in frame.columns]
    rows = [[_joined(cell) for cell in row] for row in cells.itertuples(index=False, name=None)]
    if not counts:
        header.insert(0, " / ".join(name or "" for name in map(_joined, index.names)))
        rows = [[_joined(label), *row] for label, row in zip(index, rows, strict=True)]
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _joined(value: Any) -> str:
    """One cell of a Markdown table; the levels of a MultiIndex stand in one cell."""
    if isinstance(value, tuple):
        return " / ".join(map(_joined, value))
    text = "" if value is None else str(value)
    return " ".join(text.splitlines()).replace("|", r"\|")


@dataclass(frozen=True, slots=True)
class _Source:
    """Bytes, and what their owner says that they are."""

    data: bytes
    name: str | None = None
    media_type: str | None = None


@dataclass(frozen=True, slots=True)
class _Options:
    table: str
    max_bytes: int


def _part(source: _Source, max_bytes: int) -> Part:
    if not source.data:
        raise ParameterError(f"{source.name or 'the file'} is empty")
    _check_size(len(source.data), source.name, max_bytes)
    media_type = _kind(source)
    if media_type.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": _data_url(media_type, source.data)}}
    if media_type == "application/pdf":
        url = _data_url(media_type, source.data)
        return {
            "type": "file",
            "file": {"filename": source.name or "document.pdf", "file_data": url},
        }
    if media_type in _AUDIO_FORMATS:
        data, form = _base64(source.data), _AUDIO_FORMATS[media_type]
        return {"type": "input_audio", "input_audio": {"data": data, "format": form}}
    text = _text(source)
    return {"type": "text", "text": f"File: {source.name}\n\n{text}" if source.name else text}


def _kind(source: _Source) -> str:
    """Media type of what is sent as bytes; for all else ``text/plain``."""
    extension = os.path.splitext(source.name or "")[1].lower()
    declared = (source.media_type or "").partition(";")[0].strip().lower()
    declared = _ALIASES.get(declared, declared) or _EXTENSIONS.get(extension, "")
    sendable = declared in _AUDIO_FORMATS or declared in _EXTENSIONS.values()
    return _sniffed(source.data) or (declared if sendable else "text/plain")


def _sniffed(data: bytes) -> str | None:
    return next((kind for magic, kind in _MAGIC if magic.match(data)), None)


def _text(source: _Source) -> str:
    data = source.data
    utf_16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = data.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ParameterError(f"{source.name or 'these bytes'} cannot be sent: {_SUPPORTED}")
    return text.replace("\r\n", "\n")


def _check_size(size: int, name: str | None, max_bytes: int) -> None:
    if size > max_bytes:
        raise ParameterError(
            f"{name or 'the file'} has {size:,} bytes, more than {max_bytes:,};"
            " send a smaller one, or raise max_bytes"
        )


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def _data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{_base64(data)}"


def _is_web_url(value: Any) -> bool:
    return isinstance(value, str) and value[:8].lower().startswith(("http://", "https://"))


def _linked_image(url: str, media_type: str | None) -> Part:
    extension = os.path.splitext(urlsplit(url).path)[1].lower()
    known = media_type or _EXTENSIONS.get(extension, "image/")
    if not known.startswith("image/"):
        raise ParameterError(f"{url}: only images can be sent as a URL; download it, send the file")
    return {"type": "image_url", "image_url": {"url": url}}


# ``data:`` URLs: https://www.rfc-editor.org/rfc/rfc2397. Only the header goes through the pattern,
# the payload may be megabytes.
_DATA_HEADER = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),", re.IGNORECASE)


def _is_data_url(value: Any) -> bool:
    return isinstance(value, str) and value[:5].lower() == "data:"


def _from_data_url(url: str, options: _Options) -> _Source:
    data, media_type = _read_data_url(url, "the data: URL")
    return _Source(data, None, media_type)


def _read_data_url(url: str, where: str) -> tuple[bytes, str]:
    header = _DATA_HEADER.match(url)
    if header is None:
        raise ParameterError(f"{where}: data: without a comma is no data: URL")
    payload = url[header.end() :]
    media_type = header[1].strip().lower() or "text/plain"
    if header[2].lower().endswith(";base64"):
        return _decoded(unquote(payload) if "%" in payload else payload, where), media_type
    return unquote_to_bytes(payload), media_type


def _decoded(text: str, where: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        # As some tools write it: in lines.
        try:
            return binascii.a2b_base64("".join(text.split()), strict_mode=True)
        except ValueError as error:
            raise ParameterError(f"{where}: not base64 ({error})") from None


def _is_path(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike))


def _from_path(value: str | os.PathLike[str], options: _Options) -> _Source:
    shown = str(value) if len(str(value)) <= 80 else str(value)[:79] + "…"
    try:
        path = Path(value).expanduser()
        if path.is_dir():
            raise ParameterError(f"{shown!r} is a folder; send the files in it")
        if not path.is_file():
            raise ParameterError(f"no file {shown!r} here ({Path.cwd()})")
        _check_size(path.stat().st_size, path.name, options.max_bytes)
        return _Source(path.read_bytes(), path.name)
    except ParameterError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        # A name that is too long, an unknown ~user, a zero byte in it.
        reason = getattr(error, "strerror", None) or error
        raise ParameterError(f"{shown!r} cannot be read: {reason}") from error


def _is_bytes(value: Any) -> bool:
    return isinstance(value, (bytes, bytearray, memoryview))


def _from_bytes(value: bytes | bytearray | memoryview, options: _Options) -> _Source:
    return _Source(bytes(value))


def _is_table(value: Any) -> bool:
    # By name, as other libraries' to_csv() writes files. Subclasses (geopandas) count.
    return hasattr(value, "to_csv") and any(
        base.__module__.startswith("pandas.") or base.__module__ == "pandas"
        for base in type(value).__mro__
    )


def _from_table(frame: Any, options: _Options) -> _Source:
    return _Source(table_text(frame, options.table).encode())


def _is_figure(value: Any) -> bool:
    return hasattr(value, "savefig") or hasattr(getattr(value, "figure", None), "savefig")


def _from_figure(value: Any, options: _Options) -> _Source:
    figure = value if hasattr(value, "savefig") else value.figure
    buffer = io.BytesIO()
    # As notebooks show it; without the version of matplotlib, which stands in the file otherwise.
    figure.savefig(buffer, format="png", bbox_inches="tight", metadata={"Software": None})
    return _Source(buffer.getvalue())


def _is_image(value: Any) -> bool:
    return all(hasattr(value, name) for name in ("save", "format", "mode"))


# What PNG can hold; other modes (CMYK, LAB, 32 bits) become RGB.
_PNG_MODES = frozenset({"1", "I;16", "L", "LA", "P", "RGB", "RGBA"})


def _from_image(image: Any, options: _Options) -> _Source:
    buffer = io.BytesIO()
    if image.format == "JPEG":
        # A photo as PNG has five times the size. "keep": the quality that it has. The turn of the
        # camera is in its EXIF data.
        exif = {"exif": image.info["exif"]} if image.info.get("exif") else {}
        image.save(buffer, format="JPEG", quality="keep", **exif)
    else:
        (image if image.mode in _PNG_MODES else image.convert("RGB")).save(buffer, format="PNG")
    return _Source(buffer.getvalue())


def _is_file(value: Any) -> bool:
    return hasattr(value, "read")


def _from_file(file: Any, options: _Options) -> _Source:
    """What is left to read; the file is put back, so that the cell can run again."""
    seekable = getattr(file, "seekable", None)
    start = file.tell() if seekable and seekable() else None
    data = file.read(options.max_bytes + 1)
    if start is not None:
        file.seek(start)
    label = getattr(file, "name", None)  # a number for a file opened by its descriptor
    name = os.path.basename(label) if isinstance(label, str) else None
    return _Source(data.encode() if isinstance(data, str) else data, name)


_READERS: tuple[tuple[Callable[[Any], bool], Callable[[Any, _Options], _Source]], ...] = (
    (_is_data_url, _from_data_url),
    (_is_path, _from_path),
    (_is_bytes, _from_bytes),
    (_is_table, _from_table),
    (_is_figure, _from_figure),
    (_is_image, _from_image),
    (_is_file, _from_file),
)


def _source(value: Any, options: _Options) -> _Source:
    for fits, read in _READERS:
        if fits(value):
            return read(value, options)
    raise ParameterError(
        f"{type(value).__name__} cannot be sent; use a path, URL, bytes, an open file, a pandas"
        " table, a Pillow image or a matplotlib figure"
    )


# Fields that hold a payload, in OpenAI's parts and in Anthropic's.
_CARRIERS = frozenset({"audio_url", "data", "file_data", "image_url", "url", "video_url"})
_HASHED = "sha256:"


def keyed(messages: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The messages with every base64 payload replaced by its hash: what enters a key.

    A payload becomes ``sha256:<64 digits>;<media type>``; however its bytes were wrapped (a
    ``data:`` URL in capital letters, base64 in lines), the same bytes give the same text. Messages
    without a payload are returned as they are, the very same object, and so are hashed ones.
    Nothing that was passed is changed.

    Raises
    ------
    ParameterError
        For a payload that is not base64.
    """
    changed: list[Mapping[str, Any]] | None = None
    for index, message in enumerate(messages):
        for value in message.values():
            if type(value) is not str and value is not None:
                break
        else:
            continue
        short = _keyed_fields(message, f"messages[{index}]", ())
        if short is not message:
            if changed is None:
                changed = list(messages)
            changed[index] = short
    return messages if changed is None else changed


def _keyed(node: Any, where: str) -> Any:
    if isinstance(node, Mapping):
        return _keyed_fields(node, where, _CARRIERS)
    if isinstance(node, list):
        items = [_keyed(item, where) for item in node]
        return node if all(map(operator.is_, items, node)) else items
    return node


def _keyed_fields(
    node: Mapping[str, Any], where: str, carriers: Collection[str]
) -> Mapping[str, Any]:
    # Of a message itself no text is a payload: it is what it says, even if it says "data:".
    changed: dict[str, Any] = {}
    for name, value in node.items():
        if isinstance(value, str):
            short = _hashed(node, name, value, where) if name in carriers else value
        else:
            short = _keyed(value, where)
        if short is not value:
            changed[name] = short
    return {**node, **changed} if changed else node


def _hashed(holder: Mapping[str, Any], name: str, value: str, where: str) -> str:
    """The hash of what a field of a part holds, if that is a payload."""
    if value.startswith(_HASHED):
        return value
    where = f"{where}: {name}"
    declared: str | None
    if _is_data_url(value):
        data, declared = _read_data_url(value, where)
    elif name == "file_data" and not _is_web_url(value):
        data, declared = _decoded(value, where), None
    elif name == "data" and (holder.get("type") == "base64" or "format" in holder):
        data, declared = _decoded(value, where), holder.get("media_type")
    else:
        return value
    if name == "data" and "format" in holder:
        declared = f"audio/{holder['format']}"
    media_type = declared or _sniffed(data) or "application/octet-stream"
    return f"{_HASHED}{hashlib.sha256(data).hexdigest()};{media_type.lower()}"
