"""Cassettes inside notebooks: a notebook that carries its recordings replays without other files.

The lines of the cassette stand in the notebook's metadata, unchanged, as a list of text in
``metadata.llm_magic.cassette``. Nothing else in the notebook is touched, and taking the cassette
out again leaves the bytes that Jupyter had written.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llm_magic.exceptions import CassetteError

__all__ = ["content", "is_packed", "read_notebook", "with_cassette"]


def is_packed(path: Path) -> bool:
    """Whether a notebook carries a cassette; False for what cannot be read as a notebook."""
    try:
        raw = path.read_bytes()
    except OSError:
        return False
    # Most notebooks carry none, and need not be parsed to tell.
    if b'"llm_magic"' not in raw or b'"cassette"' not in raw:
        return False
    try:
        return _lines(json.loads(raw)) is not None
    except (ValueError, RecursionError):
        return False


def content(path: Path) -> bytes:
    """The cassette of a packed notebook, as the bytes of a cassette file.

    Raises
    ------
    CassetteError
        When the notebook carries none, or something else in its place.
    """
    lines = _lines(read_notebook(path))
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise CassetteError(f"{path} does not carry a cassette; llm-magic pack {path.name}")
    return "".join(f"{line}\n" for line in lines).encode(errors="backslashreplace")


def read_notebook(path: Path) -> dict[str, Any]:
    """The notebook as plain JSON.

    Raises
    ------
    CassetteError
        When it is not a notebook.
    """
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CassetteError(f"{path} cannot be read as a notebook: {error}") from None
    if not isinstance(notebook, dict) or not isinstance(notebook.get("metadata"), dict):
        raise CassetteError(f"{path} is not a notebook")
    return notebook


def with_cassette(notebook: dict[str, Any], cassette: bytes | None) -> bytes:
    """The bytes of the notebook with this cassette in it, or with none, as Jupyter writes them."""
    metadata = dict(notebook["metadata"])
    ours = metadata.pop("llm_magic", None)
    ours = dict(ours) if isinstance(ours, dict) else {}
    ours.pop("cassette", None)
    if cassette is not None:
        ours["cassette"] = cassette.decode().removesuffix("\n").split("\n")
    if ours:
        # Jupyter sorts the names.
        metadata = dict(sorted({**metadata, "llm_magic": ours}.items()))
    changed = {**notebook, "metadata": metadata}
    try:
        return _dump(changed, ensure_ascii=False)
    except UnicodeEncodeError:
        # Half of a surrogate pair in some output: only its escaped form is valid UTF-8.
        return _dump(changed, ensure_ascii=True)


def _dump(notebook: dict[str, Any], *, ensure_ascii: bool) -> bytes:
    text = json.dumps(notebook, ensure_ascii=ensure_ascii, indent=1, separators=(",", ": "))
    return f"{text}\n".encode()


def _lines(notebook: Any) -> Any:
    metadata = notebook.get("metadata") if isinstance(notebook, dict) else None
    ours = metadata.get("llm_magic") if isinstance(metadata, dict) else None
    return ours.get("cassette") if isinstance(ours, dict) else None
