"""A replay hit through ``complete()``, its row in the ledger included, as the store grows.

CPU time, of the peers' hits too: on a shared machine the disk makes wall time tell of others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import peers
from filling import cache, client, numbers, question
from measuring import Row, folder, main, medians

from llm_magic import history

SIZES = [100, 10_000, 100_000]
SMALL = [10, 100]


def _hit(place: Path, count: int) -> Callable[[], object]:
    ours, at = client(place, count), numbers(count)

    def hit() -> object:
        answer = ours.complete(question(next(at)))
        assert answer.source == "replay"
        return answer

    return hit


def _get(place: Path, count: int) -> Callable[[], object]:
    theirs, at = cache(place, count), numbers(count)

    def get() -> object:
        value = theirs.get(f"{next(at):064x}")
        assert value
        return value

    return get


def rows(small: bool) -> list[Row]:
    """A hit at each size, its growth, and the hits of peers."""
    sizes = SMALL if small else SIZES
    with folder() as place:
        work = {}
        for size in sizes:
            work[f"ours {size}"] = _hit(place / f"ours-{size}", size)
            work[f"diskcache {size}"] = _get(place / f"diskcache-{size}", size)
        for warm in work.values():
            warm()
        seconds = medians(
            work,
            rounds=3 if small else 41,
            calls=5 if small else 50,
            clock=time.process_time,
        )
        history.close()
    found = [
        Row(
            f"replay hit, {size:,} answers",
            seconds[f"ours {size}"] * 1e6,
            "us",
            "diskcache get",
            seconds[f"diskcache {size}"] * 1e6,
            limit=100,
        )
        for size in sizes
    ]
    first, last = sizes[0], sizes[-1]
    found.append(
        Row(
            f"growth of a hit, {first:,} to {last:,}",
            seconds[f"ours {last}"] / seconds[f"ours {first}"],
            "x",
            "diskcache get",
            seconds[f"diskcache {last}"] / seconds[f"diskcache {first}"],
            limit=1.6,
        )
    )
    for name in peers.PEERS:
        for size in sizes[:1] if small else sizes:
            found.append(_beside(name, size, seconds[f"ours {size}"]))
    return found


def _beside(name: str, size: int, ours: float) -> Row:
    told, theirs, over = f"{name} hit", None, False
    try:
        theirs = peers.hit(name, size)
        if theirs is None:
            told = f"{name} (not installed) hit"
    except TimeoutError:
        theirs, over = peers.PATIENCE, True
        told = f"{name} hit, its file read"
    microseconds = None if theirs is None else theirs * 1e6
    claim = f"replay hit, {size:,} answers"
    return Row(claim, ours * 1e6, "us", told, microseconds, over=over)


if __name__ == "__main__":
    main(rows, __doc__)
