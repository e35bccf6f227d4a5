"""Hits of other tools that record and replay, in seconds of CPU time; None when not installed.

Both hook the HTTP client, so their hit is a plain ``httpx.post()`` without any SDK.
"""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from measuring import ANSWER, folder, medians

_URL = "http://127.0.0.1:9/v1/chat/completions"
_BODY = {"choices": [{"index": 0, "message": {"role": "assistant", "content": ANSWER}}]}
_REPETITIONS = 5


def _asked(number: int) -> dict[str, Any]:
    return {"model": "gpt-5-mini", "messages": [{"role": "user", "content": f"Question {number}"}]}


def _pycachy(count: int) -> float | None:
    if importlib.util.find_spec("cachy") is None:
        return None
    import httpx
    from cachy import core

    middle = count // 2
    with folder() as place:
        request = httpx.Client().build_request("POST", _URL, json=_asked(middle))
        ours = core._key(request)
        keys = [f"{number:08x}" for number in range(count - 1)]
        keys.insert(middle, ours)
        common = {"response": json.dumps(_BODY), "headers": {}, "status_code": 200, "binary": False}
        lines = [json.dumps({"key": key, **common}) for key in keys]
        (place / "cachy.jsonl").write_text("\n".join(lines) + "\n")
        core.enable_cachy(cache_dir=place, doms=("127.0.0.1",))
        try:
            # Made once: a new client costs more than the hit.
            with closing(httpx.Client()) as client:
                work = {"hit": lambda: client.post(_URL, json=_asked(middle)).json()}
                return medians(work, rounds=_REPETITIONS, clock=time.process_time)["hit"]
        finally:
            core.disable_cachy()


def _vcrpy(count: int) -> float | None:
    if importlib.util.find_spec("vcr") is None or importlib.util.find_spec("httpx") is None:
        return None
    import httpx
    import vcr
    from vcr.persisters.filesystem import FilesystemPersister
    from vcr.request import Request
    from vcr.serializers import yamlserializer

    middle = count // 2
    with folder() as place:
        path = Path(place) / "cassette.yaml"
        headers = {"content-type": "application/json"}
        built = [httpx.Request("POST", _URL, json=_asked(number)) for number in range(count)]
        requests = [Request("POST", _URL, one.content, headers) for one in built]
        response = {
            "status": {"code": 200, "message": "OK"},
            "headers": {"content-type": ["application/json"]},
            "body": {"string": json.dumps(_BODY)},
        }
        FilesystemPersister.save_cassette(
            path, {"requests": requests, "responses": [response] * count}, yamlserializer
        )
        recorder = vcr.VCR(record_mode="none", match_on=["method", "uri", "body"])
        tape = recorder.use_cassette(str(path), allow_playback_repeats=True)
        with tape, closing(httpx.Client()) as client:
            work = {"hit": lambda: client.post(_URL, json=_asked(middle)).json()}
            return medians(work, rounds=_REPETITIONS, clock=time.process_time)["hit"]


HITS: dict[str, Callable[[int], float | None]] = {"pycachy": _pycachy, "vcrpy": _vcrpy}
