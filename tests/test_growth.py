"""A hit does the same work whatever else is recorded; counted, as clocks tell too many things."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from llm_magic.client import Client
from llm_magic.history import later
from llm_magic.recordings import Recording, key_of, now
from llm_magic.types import AttrDict, Request

SIZES = (100, 10_000)


def recording(number: int) -> Recording:
    request = Request("echo", "echo", [{"role": "user", "content": f"Question {number:06}"}])
    message = {"role": "assistant", "content": f"Answer {number:06}. " * 100}
    response = AttrDict({"choices": [{"message": message, "finish_reason": "stop"}]})
    return Recording(key_of(request), 0, request.to_dict(), response, "one", now(), 1.0)


@contextmanager
def counted(client: Client) -> Iterator[Counter[str]]:
    """What is done in the block: statements, steps of SQLite's machine, calls of functions.

    A search by key takes as many steps in a small table as in a large one; each row that is looked
    at takes some more.
    """
    work: Counter[str] = Counter()

    def step() -> None:
        work["steps"] += 1

    def trace(statement: str) -> None:
        work[statement.partition("'")[0]] += 1

    def profile(frame: Any, event: str, argument: Any) -> None:
        work["calls"] += event in ("call", "c_call")

    connections = client.shelf.store._cache._con, client.history._connection
    for connection in connections:
        connection.set_trace_callback(trace)
        connection.set_progress_handler(step, 1)
    gc.disable()
    sys.setprofile(profile)
    try:
        yield work
    finally:
        sys.setprofile(None)
        gc.enable()
        for connection in connections:
            connection.set_trace_callback(None)
            connection.set_progress_handler(None, 0)


def work_of_a_hit(folder: Path, size: int, *, saved: bool) -> Counter[str]:
    folder.mkdir()
    with closing(Client(folder, model="echo/echo", mode="REPLAY")) as client:
        with client.shelf.store.transaction():
            for number in range(size):
                client.shelf.put(recording(number), "analysis")
        if saved:
            client.shelf.save("analysis")
        for _ in range(3):
            client.complete("Question 000010")
            client.history.flush()

        with counted(client) as work:
            answer = client.complete(f"Question {size // 2:06}")
            client.history.flush()

    assert answer.text.startswith(f"Answer {size // 2:06}.")
    return work


@pytest.mark.parametrize("saved", [False, True])
def test_a_hit_takes_as_much_among_ten_thousand_answers_as_among_a_hundred(
    saved: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", "analysis.ipynb")
    monkeypatch.setattr(later, "soon", lambda waiting: None)

    few, many = (work_of_a_hit(tmp_path / str(size), size, saved=saved) for size in SIZES)

    assert few["steps"] > 20
    assert few["calls"] > 100
    assert few == many
