"""Stores with many answers in them, ours and those of others, for benchmarks of growth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diskcache
from measuring import ANSWER

from llm_magic.client import Client
from llm_magic.recordings import Recording, key_of, now
from llm_magic.types import AttrDict, Request

MODEL = "gpt-5-mini"
_PRICES = {"input_mtok": "0.25", "cache_read_mtok": "0.025", "output_mtok": "2"}


def question(number: int) -> str:
    """The prompt of that number."""
    return f"Question {number}: what is the capital of Norway, and where does it lie?"


def recording(number: int) -> Recording:
    """The answer to it, as a live call records it."""
    messages = [{"role": "user", "content": question(number)}]
    request = Request(provider="openai", model=MODEL, messages=messages)
    message = {"role": "assistant", "content": ANSWER}
    response = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1_780_000_000,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 16, "completion_tokens": 434, "total_tokens": 450},
    }
    return Recording(
        key=key_of(request),
        ordinal=0,
        request=request.to_dict(),
        response=AttrDict(response),
        call=f"{number:028x}",
        created=now(),
        latency_ms=812.4,
        prices=_PRICES,
    )


def client(folder: Path, count: int) -> Client:
    """A client whose folder holds so many answers."""
    folder.mkdir()
    made = Client(folder, model=f"openai/{MODEL}", mode="REPLAY")
    with made.shelf.store.transaction():
        for number in range(count):
            made.shelf.put(recording(number), None)
    return made


def cache(folder: Path, count: int) -> Any:
    """A diskcache that holds so many texts of the same size, under keys of the same length."""
    made = diskcache.Cache(str(folder))
    with made.transact():
        for number in range(count):
            made.set(f"{number:064x}", ANSWER)
    return made


def numbers(count: int) -> Iterator[int]:
    """Numbers all over the store, always the same ones, without an end."""
    while True:
        yield from (index * 7919 % count for index in range(64))
