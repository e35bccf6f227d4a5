"""Streaming into a cell: kernel CPU and bytes to the front end, beside an update a chunk."""

from __future__ import annotations

import json
from typing import Any

from jupyter_client.manager import start_new_kernel
from measuring import Row, by_turns, folder, main

# Words come as a model sends them, one each two milliseconds; waiting takes no CPU time.
_WORDS = """
import time
words = ["word "] * {chunks}

def cpu(show):
    began = time.process_time()
    for word in words:
        show(word)
        time.sleep({pause})
    return time.process_time() - began
"""
_OURS = """
from llm_magic.notebook.display import LiveAnswer
live = LiveAnswer("md")
print(cpu(live.add))
live.fail("over")
"""
_EACH = """
from IPython.display import Markdown, display
handle, text = display(Markdown(""), display_id=True), []

def show(word):
    text.append(word)
    handle.update(Markdown("".join(text)))

print(cpu(show))
"""


def _figures(kernel: Any, code: str) -> dict[str, float]:
    """CPU seconds that the code printed, and bytes of everything it displayed."""
    printed: list[str] = []
    size = 0

    def listen(message: Any) -> None:
        nonlocal size
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])
        elif message["msg_type"] in ("display_data", "update_display_data"):
            size += len(json.dumps(message["content"]))

    reply = kernel.execute_interactive(code, timeout=300, output_hook=listen)
    if reply["content"]["status"] != "ok":
        raise RuntimeError("\n".join(reply["content"]["traceback"]))
    return {"cpu": float("".join(printed)), "bytes": float(size)}


def rows(small: bool) -> list[Row]:
    """2,000 chunks through us, and through one update of the display each."""
    chunks = 50 if small else 2000
    with folder() as place:
        manager, kernel = start_new_kernel(kernel_name="python3", cwd=str(place))
        try:
            kernel.execute_interactive(_WORDS.format(chunks=chunks, pause=0.002), timeout=60)
            found = by_turns(
                {
                    "ours": lambda: _figures(kernel, _OURS),
                    "each": lambda: _figures(kernel, _EACH),
                },
                rounds=1 if small else 3,
            )
        finally:
            kernel.stop_channels()
            manager.shutdown_kernel(now=True)
            manager.cleanup_resources()
    ours, each = found["ours"], found["each"]
    return [
        Row(
            f"{chunks:,} chunks streamed into a cell, CPU of the kernel",
            ours["cpu"] * 1000,
            "ms",
            "an update of the display each",
            each["cpu"] * 1000,
            limit=120,
        ),
        Row(
            f"{chunks:,} chunks streamed into a cell, bytes to the front end",
            ours["bytes"] / 1e6,
            "MB",
            "an update of the display each",
            each["bytes"] / 1e6,
            limit=1.3,
        ),
    ]


if __name__ == "__main__":
    main(rows, __doc__)
