"""What a fresh process waits for: the import, and its first answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from filling import MODEL, client, question
from measuring import Row, by_turns, folder, in_fresh_process, main, server

_TIMED = """
import json, time
began = time.perf_counter()
{code}
print(json.dumps({{"seconds": time.perf_counter() - began}}))
"""
_REPLAY = f"""
import llm_magic
answer = llm_magic.complete({question(3)!r}, model="openai/{MODEL}", mode="REPLAY")
assert answer.source == "replay"
"""
_LIVE = f"""
import openai
sdk = openai.OpenAI(max_retries=0)
messages = [{{"role": "user", "content": {question(3)!r}}}]
assert sdk.chat.completions.create(model={MODEL!r}, messages=messages).choices[0].message.content
"""
WORK = {
    "import llm_magic": "import llm_magic",
    "complete": "from llm_magic import complete",
    "diskcache": "import diskcache",
    "replay": _REPLAY,
    "live": _LIVE,
}


def _fresh(code: str, place: Path) -> Callable[[], Mapping[str, float]]:
    return lambda: in_fresh_process(_TIMED.format(code=code), place)


def rows(small: bool) -> list[Row]:
    """Imports beside diskcache's, the first replay beside the SDK's first live answer."""
    with folder() as place, server() as _:
        client(place / "work", 100).close()
        work = {name: _fresh(code, place / "work") for name, code in WORK.items()}
        found = by_turns(work, rounds=1 if small else 15)
    ms = {name: figures["seconds"] * 1000 for name, figures in found.items()}
    beside = "import diskcache", ms["diskcache"]
    return [
        Row("import llm_magic", ms["import llm_magic"], "ms", *beside, limit=45),
        Row("from llm_magic import complete", ms["complete"], "ms", *beside),
        Row(
            "first replayed answer of a fresh process",
            ms["replay"],
            "ms",
            "openai SDK, first live answer",
            ms["live"],
            at_most=0.12,
        ),
    ]


if __name__ == "__main__":
    main(rows, __doc__)
