"""In a live kernel: what ``%load_ext`` and a replayed ``%%complete`` cell take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from filling import MODEL, client, question
from jupyter_client.manager import start_new_kernel
from measuring import Row, folder, main

_LOAD = """
import json, time
began = time.perf_counter()
get_ipython().run_line_magic("load_ext", "llm_magic")
loaded = time.perf_counter() - began
print(json.dumps({"load_ext": loaded}))
"""
_IMPORT_SDK = """
import json, time
began = time.perf_counter()
import openai
print(json.dumps({"openai": time.perf_counter() - began}))
"""
# The cells run within one: what the front end and the sockets take is the same for all.
_CELLS = """
import json, statistics, time
from IPython.core.magic import register_cell_magic

@register_cell_magic
def nothing(line, cell):
    pass

shell = get_ipython()
cells = {{"empty": "%%nothing\\nx", "replayed": "%%complete -m openai/{model}\\n" + {prompt!r}}}
found = {{name: [] for name in cells}}
for _ in range({rounds}):
    for name, cell in cells.items():
        began = time.perf_counter()
        shell.run_cell(cell, store_history=False).raise_error()
        found[name].append(time.perf_counter() - began)
print(json.dumps({{name: statistics.median(times) for name, times in found.items()}}))
"""


def _printed(kernel: Any, code: str) -> dict[str, float]:
    lines: list[str] = []

    def listen(message: Any) -> None:
        if message["msg_type"] == "stream":
            lines.append(message["content"]["text"])

    reply = kernel.execute_interactive(code, timeout=300, output_hook=listen)
    if reply["content"]["status"] != "ok":
        raise RuntimeError("\n".join(reply["content"]["traceback"]))
    figures: dict[str, float] = json.loads("".join(lines))
    return figures


def _in_kernel(place: Path, codes: list[str]) -> dict[str, float]:
    manager, kernel = start_new_kernel(kernel_name="python3", cwd=str(place))
    try:
        return {name: each for code in codes for name, each in _printed(kernel, code).items()}
    finally:
        kernel.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def rows(small: bool) -> list[Row]:
    """Loading beside an SDK's import, a replayed cell beside an empty one; of a few kernels."""
    cells = _CELLS.format(model=MODEL, prompt=question(3), rounds=5 if small else 400)
    with folder() as place:
        client(place / "work", 100).close()
        kernels = [
            _in_kernel(place / "work", [_LOAD, _IMPORT_SDK, cells])
            for _ in range(1 if small else 5)
        ]
    ms = {
        name: sorted(one[name] for one in kernels)[len(kernels) // 2] * 1000 for name in kernels[0]
    }
    return [
        Row("%load_ext llm_magic", ms["load_ext"], "ms", "import openai", ms["openai"], limit=80),
        Row(
            "%%complete replayed, a cell",
            ms["replayed"],
            "ms",
            "a cell magic that does nothing",
            ms["empty"],
            limit=0.8,
        ),
    ]


if __name__ == "__main__":
    main(rows, __doc__)
