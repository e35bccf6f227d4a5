"""A stream of 2,000 chunks: when the first one is there, and the last one."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import anthropic
import openai
from measuring import Row, by_turns, folder, main, server

from llm_magic.client import Client


def _timed(start: Callable[[], Iterable[Any]], least: int) -> Callable[[], Mapping[str, float]]:
    def measure() -> Mapping[str, float]:
        began = time.perf_counter()
        first, count = 0.0, 0
        for _ in start():
            first = first or time.perf_counter() - began
            count += 1
        assert count >= least
        return {"first": first, "total": time.perf_counter() - began}

    return measure


def _work(place: Path, chunks: int) -> dict[str, Callable[[], Mapping[str, float]]]:
    numbers = itertools.count()
    ours = Client(place, timeout=60)
    sdk, claude = openai.OpenAI(max_retries=0), anthropic.Anthropic(max_retries=0)

    def chat() -> Any:
        return [{"role": "user", "content": f"Tell me {next(numbers)} stories."}]

    def of_openai() -> Iterable[Any]:
        return sdk.chat.completions.create(model="gpt-5-mini", messages=chat(), stream=True)

    def of_anthropic() -> Iterator[Any]:
        with claude.messages.stream(
            model="claude-sonnet-4-6", messages=chat(), max_tokens=9999
        ) as stream:
            yield from stream.text_stream

    starts: dict[str, Callable[[], Iterable[Any]]] = {
        "ours": lambda: ours.stream(chat(), model="openai/gpt-5-mini"),
        "openai": of_openai,
        "ours, Claude": lambda: ours.stream(
            chat(), model="anthropic/claude-sonnet-4-6", max_tokens=9999
        ),
        "anthropic": of_anthropic,
    }
    return {name: _timed(start, chunks) for name, start in starts.items()}


def rows(small: bool) -> list[Row]:
    """First chunk and all of them, recorded and in the ledger, beside the bare SDKs."""
    chunks = 20 if small else 2000
    with folder() as place, server(words=chunks) as _:
        work = _work(place, chunks)
        for first in work.values():
            first()
        found = by_turns(work, rounds=1 if small else 15)
    ms = {
        f"{name} {figure}": value * 1000
        for name, each in found.items()
        for figure, value in each.items()
    }
    claim = f"stream of {chunks:,} chunks"
    return [
        Row(
            f"{claim}, first", ms["ours first"], "ms", "openai SDK", ms["openai first"], at_most=1.2
        ),
        Row(
            f"{claim}, all", ms["ours total"], "ms", "openai SDK", ms["openai total"], at_most=0.25
        ),
        Row(
            f"{claim}, all",
            ms["ours, Claude total"],
            "ms",
            "anthropic SDK",
            ms["anthropic total"],
            0.8,
        ),
    ]


if __name__ == "__main__":
    main(rows, __doc__)
