"""Hits of other tools that record and replay, in seconds of CPU time; None when not installed.

Both hook the HTTP client, so their hit is a plain ``httpx.post()`` without any SDK. Their files are
written as text, as the tools themselves write them. Each is asked in a process of its own, which is
ended after a minute: reading the file is part of it, as it is of every test run that replays.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import ANSWER, folder

# Seconds that reading the file and a few hits may take.
PATIENCE = 60
_URL = "http://127.0.0.1:9/v1/chat/completions"
_REPETITIONS = 5


def _asked(number: int) -> dict[str, Any]:
    return {"model": "gpt-5-mini", "messages": [{"role": "user", "content": f"Question {number}"}]}


def _answered(number: int) -> str:
    message = {"role": "assistant", "content": f"{number}: {ANSWER}"}
    return json.dumps({"choices": [{"index": 0, "message": message}]})


def _pycachy_file(path: Path, count: int) -> None:
    import httpx
    from cachy import core

    middle = count // 2
    request = httpx.Client().build_request("POST", _URL, json=_asked(middle))
    keys = (core._key(request) if at == middle else f"{at:08x}" for at in range(count))
    common = {"headers": {}, "status_code": 200, "binary": False}
    records = ({"key": key, "response": _answered(at), **common} for at, key in enumerate(keys))
    _write(path, (json.dumps(record) + "\n" for record in records))


@contextmanager
def _pycachy(path: Path) -> Iterator[None]:
    from cachy import core

    core.enable_cachy(cache_dir=path.parent, doms=("127.0.0.1",))
    try:
        yield
    finally:
        core.disable_cachy()


# What vcrpy writes, but for where it breaks lines.
_INTERACTION = """- request:
    body: {body}
    headers:
      content-type:
      - application/json
    method: POST
    uri: {uri}
  response:
    body:
      string: {string}
    headers:
      content-type:
      - application/json
    status:
      code: 200
      message: OK
"""


def _vcrpy_file(path: Path, count: int) -> None:
    import httpx

    bodies = (
        httpx.Request("POST", _URL, json=_asked(number)).content.decode() for number in range(count)
    )
    interactions = (
        _INTERACTION.format(body=json.dumps(body), uri=_URL, string=json.dumps(_answered(number)))
        for number, body in enumerate(bodies)
    )
    _write(path, ["interactions:\n", *interactions, "version: 1\n"])


def _vcrpy(path: Path) -> AbstractContextManager[Any]:
    import vcr

    recorder = vcr.VCR(record_mode="none", match_on=["method", "uri", "body"])
    tape: AbstractContextManager[Any] = recorder.use_cassette(
        str(path), allow_playback_repeats=True
    )
    return tape


def _write(path: Path, pieces: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(pieces)


@dataclass(frozen=True)
class Peer:
    """A tool: its module, its file, what writes that, and what replays from it."""

    module: str
    file: str
    write: Callable[[Path, int], None]
    replaying: Callable[[Path], AbstractContextManager[Any]]


PEERS = {
    "pycachy": Peer("cachy", "cachy.jsonl", _pycachy_file, _pycachy),
    "vcrpy": Peer("vcr", "cassette.yaml", _vcrpy_file, _vcrpy),
}


def hit(name: str, count: int) -> float | None:
    """Seconds of CPU time that a hit among so many answers takes; None when not installed.

    Raises
    ------
    TimeoutError
        When it is not known after ``PATIENCE`` seconds.
    """
    peer = PEERS[name]
    if importlib.util.find_spec(peer.module) is None or importlib.util.find_spec("httpx") is None:
        return None
    with folder() as place:
        path = place / peer.file
        peer.write(path, count)
        command = [sys.executable, __file__, name, str(path), str(count)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=PATIENCE
            )
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{name} has not answered after {PATIENCE} s") from None
    if done.returncode:
        raise RuntimeError(done.stderr)
    return float(done.stdout)


def _hits(name: str, path: Path, count: int) -> Iterator[float]:
    import httpx

    asked = _asked(count // 2)
    # Made once: a new client costs more than the hit.
    with PEERS[name].replaying(path), closing(httpx.Client()) as client:
        for _ in range(1 + _REPETITIONS):
            began = time.process_time()
            answer = client.post(_URL, json=asked).json()
            yield time.process_time() - began
            assert answer["choices"][0]["message"]["content"].startswith(f"{count // 2}: ")


if __name__ == "__main__":
    told, where, size = sys.argv[1:]
    # Not the first: it loads what is loaded once.
    print(statistics.median(list(_hits(told, Path(where), int(size)))[1:]))
