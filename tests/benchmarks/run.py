"""All benchmarks, each in a process of its own, as one table; see README.md."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields

from measuring import HERE, Row, options, told

BENCHMARKS = [
    "starting",
    "kernel",
    "hits",
    "writing",
    "calling",
    "streaming_chunks",
    "displaying",
    "many",
    "frames",
]


def measured(name: str, small: bool) -> list[Row]:
    """The rows of one benchmark."""
    print(f"{name} ...", file=sys.stderr)
    command = [sys.executable, str(HERE / f"{name}.py"), "--json", *(["--small"] if small else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    names = {field.name for field in fields(Row)}
    return [
        Row(**{name: value for name, value in row.items() if name in names})
        for row in json.loads(done.stdout)
    ]


if __name__ == "__main__":
    if "--list" in sys.argv:
        print("\n".join(BENCHMARKS))
        raise SystemExit
    given = options(__doc__)
    rows = [row for name in BENCHMARKS for row in measured(name, given.small)]
    print(told(rows, given.json))
