"""Where the lines of a large cassette stand, kept in the store, so that it need not be read.

A cassette of 50,000 recordings has 100 MB; a notebook that was pulled needs a few of its lines. The
index is a table in buckets by the first digits of the key: one look-up reads one bucket. It belongs
to one state of the file, and counts for nothing when the file has changed. Rows of the store::

    index/analysis        {"count": 50000, "depth": 2, "digest": "...", "stamp": [...]}
    index:3f/analysis     {"spans": {"3fa9...": {"0": [start, stop, line]}}, "stamp": [...]}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llm_magic.cassette import (
    NOTEBOOK,
    Cassette,
    CassetteChangedError,
    Place,
    ScannedSpans,
    Span,
    Stamp,
)
from llm_magic.recordings import dump_line
from llm_magic.storage import Store

__all__ = ["discard", "find", "keep"]

# A smaller cassette is read whole in less time than its index is written.
SMALLEST = 1_000_000
# Keys in a bucket: reading one takes as long as the rest of a look-up.
_IN_BUCKET = 200
_DEEPEST = 4


class StoredSpans:
    """The spans of one state of a cassette, a bucket at a time."""

    def __init__(self, store: Store, path: Path, notebook: str, head: Mapping[str, Any]) -> None:
        self._store = store
        self._path = path
        self._notebook = notebook
        self._head = head

    def of(self, key: str) -> Mapping[int, Span]:
        """First byte, end and line number of each answer to a request, by ordinal.

        Raises
        ------
        CassetteChangedError
            When another process indexed another state of the file meanwhile.
        """
        return self._bucket(key[: self._head["depth"]]).get(key, {})

    def __iter__(self) -> Iterator[Place]:
        for prefix in _prefixes(self._head["depth"]):
            for key, spans in self._bucket(prefix).items():
                for ordinal in spans:
                    yield key, ordinal

    def __len__(self) -> int:
        return int(self._head["count"])

    def _bucket(self, prefix: str) -> dict[str, dict[int, Span]]:
        text = self._store.get(_row(self._notebook, prefix))
        try:
            bucket = json.loads(text or "")
            if bucket["stamp"] == self._head["stamp"]:
                return {
                    key: {int(at): (start, stop, line) for at, (start, stop, line) in spans.items()}
                    for key, spans in bucket["spans"].items()
                }
        except (ValueError, TypeError, KeyError, AttributeError):
            # Not ours, or half of it: the file itself is what counts.
            pass
        raise CassetteChangedError(self._path)


def find(store: Store, path: Path, notebook: str, stamp: Stamp) -> Cassette | None:
    """The cassette by its index; None when there is none for this state of the file."""
    head = _head(store, notebook)
    if head is None or head["stamp"] != list(stamp):
        return None
    spans = StoredSpans(store, path, notebook, head)
    return Cassette(path, index=(head["digest"], spans))


def keep(store: Store, notebook: str, cassette: Cassette) -> None:
    """Keep the index of a cassette that was read whole, if it is worth it."""
    stamp, spans = cassette.stamp, cassette.spans
    if store.read_only or stamp is None or not isinstance(spans, ScannedSpans):
        return
    if stamp[1] < SMALLEST or cassette.path.suffix == NOTEBOOK:
        return
    depth = 0
    while depth < _DEEPEST and len(spans.by_key) > _IN_BUCKET * 16**depth:
        depth += 1
    buckets: dict[str, dict[str, Any]] = {prefix: {} for prefix in _prefixes(depth)}
    for key, found in spans.by_key.items():
        # A key that somebody wrote by hand is in no bucket; no request has it.
        buckets.get(key[:depth], {})[key] = found
    head = {"count": len(spans), "depth": depth, "digest": cassette.digest, "stamp": stamp}
    with store.transaction():
        discard(store, notebook)
        for prefix, bucket in buckets.items():
            store.set(_row(notebook, prefix), dump_line({"spans": bucket, "stamp": stamp}))
        # A reader takes the head for the sign that all is there.
        store.set(_row(notebook), dump_line(head))


def discard(store: Store, notebook: str) -> None:
    """Forget the index of a cassette."""
    if store.read_only or store.get(_row(notebook)) is None:
        return
    head = _head(store, notebook)
    with store.transaction():
        for prefix in _prefixes(head["depth"]) if head is not None else []:
            store.delete(_row(notebook, prefix))
        store.delete(_row(notebook))


def _head(store: Store, notebook: str) -> dict[str, Any] | None:
    """The head of a notebook's index; None when there is none that could be ours."""
    text = store.get(_row(notebook))
    try:
        head = json.loads(text or "")
        fits = 0 <= head["depth"] <= _DEEPEST and isinstance(head["digest"], str)
        return head if fits and isinstance(head["count"], int) and head["stamp"] else None
    except (ValueError, TypeError, KeyError):
        return None


def _prefixes(depth: int) -> list[str]:
    return [format(number, f"0{depth}x") for number in range(16**depth)] if depth else [""]


def _row(notebook: str, prefix: str | None = None) -> str:
    # A notebook's name has no slash; the head and the only bucket of depth 0 must not collide.
    return f"index/{notebook}" if prefix is None else f"index:{prefix}/{notebook}"
