"""The fake provider in a process of its own: prints its address, ends with its standard input."""

from __future__ import annotations

import sys

from llm_magic.testing import FakeServer

if __name__ == "__main__":
    words, latency = int(sys.argv[1]), float(sys.argv[2])
    with FakeServer(default="word " * words, latency=latency) as server:
        print(server.url, flush=True)
        sys.stdin.read()
