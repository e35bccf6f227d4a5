"""500 calls to a server that takes 200 ms, 64 at a time: beside the ideal, and a bare SDK."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
from measuring import Row, by_turns, folder, main, server

from llm_magic.client import Client


def _work(place: Path, calls: int, at_once: int) -> dict[str, Callable[[], Mapping[str, float]]]:
    numbers = itertools.count()
    ours = Client(place, model="openai/gpt-5-mini", timeout=60)
    sdk = openai.OpenAI(max_retries=0)

    def all_of(call: Callable[[str], Any]) -> Callable[[], Mapping[str, float]]:
        def measure() -> Mapping[str, float]:
            prompts = [f"Question {next(numbers)}: where is Oslo?" for _ in range(calls)]
            began, cpu = time.perf_counter(), time.process_time()
            with ThreadPoolExecutor(at_once) as threads:
                assert len(list(threads.map(call, prompts))) == calls
            return {"wall": time.perf_counter() - began, "cpu": time.process_time() - cpu}

        return measure

    def create(prompt: str) -> Any:
        messages: Any = [{"role": "user", "content": prompt}]
        return sdk.chat.completions.create(model="gpt-5-mini", messages=messages)

    return {"ours": all_of(ours.complete), "openai": all_of(create)}


def rows(small: bool) -> list[Row]:
    """Wall time beside the ideal, CPU time beside the SDK's; every call is recorded."""
    calls, at_once, latency = (20, 8, 0.02) if small else (500, 64, 0.2)
    with folder() as place, server(latency=latency) as _:
        work = _work(place, calls, at_once)
        for first in work.values():
            first()
        seconds = by_turns(work, rounds=1 if small else 5)
    ideal = math.ceil(calls / at_once) * latency
    claim = f"{calls} calls of {latency * 1000:g} ms, {at_once} at once"
    ours, theirs = seconds["ours"], seconds["openai"]
    return [
        Row(claim, ours["wall"], "s", "ideal", ideal, at_most=1.10),
        Row(claim, ours["wall"], "s", "openai SDK in threads", theirs["wall"]),
        Row(f"{claim}, CPU", ours["cpu"], "s", "openai SDK in threads", theirs["cpu"], at_most=1.0),
    ]


if __name__ == "__main__":
    main(rows, __doc__)
