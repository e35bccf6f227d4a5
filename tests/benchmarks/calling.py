"""Live calls without any latency: recorded, priced and in the ledger, beside the bare SDKs.

CPU time of our process alone; the server runs in another one.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic
import openai
from measuring import Row, folder, main, medians, server

from llm_magic.client import Client

LENGTHS = {2: 0.65, 20: None, 100: 0.10}


def _chat(length: int, number: int) -> list[dict[str, Any]]:
    roles = itertools.cycle(["user", "assistant"])
    texts = (f"Message {at} of chat {number}: and what else is there?" for at in range(length - 1))
    first = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    return [*first, {"role": "user", "content": f"Go on with chat {number}."}]


def _work(place: Path, length: int) -> dict[str, Callable[[], object]]:
    numbers = itertools.count()
    ours = Client(place, timeout=60)
    sdk, claude = openai.OpenAI(max_retries=0), anthropic.Anthropic(max_retries=0)

    def chat() -> Any:
        return _chat(length, next(numbers))

    return {
        "ours": lambda: ours.complete(chat(), model="openai/gpt-5-mini"),
        "openai": lambda: sdk.chat.completions.create(model="gpt-5-mini", messages=chat()),
        "ours, Claude": lambda: ours.complete(
            chat(), model="anthropic/claude-sonnet-4-6", max_tokens=999
        ),
        "anthropic": lambda: claude.messages.create(
            model="claude-sonnet-4-6", messages=chat(), max_tokens=999
        ),
        "anthropic, streamed": lambda: _final(claude, chat()),
    }


def _final(claude: anthropic.Anthropic, messages: Any) -> Any:
    with claude.messages.stream(
        model="claude-sonnet-4-6", messages=messages, max_tokens=999
    ) as stream:
        return stream.get_final_message()


def rows(small: bool) -> list[Row]:
    """One call of each, for chats of several lengths."""
    found = []
    turns = {"rounds": 1 if small else 31, "calls": 1 if small else 5}
    with folder() as place, server(words=20 if small else 400) as _:
        for length, target in list(LENGTHS.items())[: 1 if small else None]:
            (place / str(length)).mkdir()
            work = _work(place / str(length), length)
            for first in work.values():
                first()
            ms = {
                name: seconds * 1000
                for name, seconds in medians(work, clock=time.process_time, **turns).items()
            }
            found += [
                Row(
                    f"live call, {length} messages, CPU",
                    ms["ours"],
                    "ms",
                    "openai create()",
                    ms["openai"],
                    at_most=target,
                ),
                Row(
                    f"live call, {length} messages, CPU",
                    ms["ours, Claude"],
                    "ms",
                    "anthropic create()",
                    ms["anthropic"],
                    at_most=1,
                ),
                # Claude is always asked for a stream: 400 pieces here, where create() has one.
                Row(
                    f"live call, {length} messages, CPU",
                    ms["ours, Claude"],
                    "ms",
                    "anthropic stream, read to its end",
                    ms["anthropic, streamed"],
                ),
            ]
    return found


if __name__ == "__main__":
    main(rows, __doc__)
