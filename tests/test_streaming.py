"""Streams that nobody holds any more: what is left to do for them is done elsewhere, and soon."""

from __future__ import annotations

import asyncio
import gc
import os
import threading

import pytest

from llm_magic import Client, dropped, history
from llm_magic.providers.echo import EchoProvider
from llm_magic.replay import in_flight

MODEL = "echo/echo"


@pytest.fixture
def client():
    return Client(model=MODEL)


def statuses(client):
    return [(row["prompt"], row["status"]) for row in client.history.rows()]


def begun(client, prompt="Why?"):
    stream = client.stream(prompt)
    next(stream)
    return stream


async def abegun(client, prompt="Why?"):
    stream = client.astream(prompt)
    await anext(stream)
    return stream


def test_a_dropped_stream_is_over_when_the_next_call_begins(client):
    begun(client)

    assert client.complete("Why?").source == "live"
    assert statuses(client) == [("Why?", "interrupted"), ("Why?", "ok")]


def test_a_dropped_awaited_stream_is_over_when_the_next_call_begins(client):
    async def drop_and_ask():
        await abegun(client)
        return await client.acomplete("Why?")

    assert asyncio.run(drop_and_ask()).source == "live"
    assert statuses(client) == [("Why?", "interrupted"), ("Why?", "ok")]


@pytest.mark.parametrize("lock", ["ledger", "in flight"])
def test_a_stream_that_is_collected_while_a_lock_is_held_waits_for_it(client, lock):
    stream = begun(client)

    with client.history._lock if lock == "ledger" else in_flight._lock:
        del stream
    dropped.wait()

    assert statuses(client) == [("Why?", "interrupted")]


def test_a_connection_in_a_circle_is_not_closed_by_who_collects_it(client, monkeypatch):
    closed_by = []
    stream = EchoProvider.stream

    def noted(self, request, transport):
        try:
            yield from stream(self, request, transport)
        finally:
            closed_by.append(threading.current_thread())

    monkeypatch.setattr(EchoProvider, "stream", noted)
    circle = [begun(client)]
    circle.append(circle)

    del circle
    gc.collect()
    dropped.wait()

    assert closed_by
    assert threading.current_thread() not in closed_by


DROP_EVERYWHERE = """
import asyncio, faulthandler, sys
from collections import Counter
from pathlib import Path
faulthandler.dump_traceback_later(30, exit=True)
import llm_magic
from llm_magic import Client, dropped

client = Client(model="echo/echo")
locking = {str(path) for path in Path(llm_magic.__file__).parent.rglob("*.py")
           if "_lock" in path.read_text()}
streams = []

def drop_one(frame, event, argument):
    if streams and event == "line" and frame.f_code.co_filename in locking:
        streams.pop()
    return drop_one

def finish():
    sys.settrace(None)
    assert 0 < len(streams) < 2500
    streams.clear()
    dropped.wait()
    print(sorted(Counter(row["status"] for row in client.history.rows()).items()))

"""
SYNC = """
for number in range(2500):
    stream = client.stream(f"question {number}")
    next(stream)
    streams.append(stream)
del stream
sys.settrace(drop_one)
for source in ("live", "replay"):
    assert client.complete("Why?").source == source
    assert len(list(client.stream("How?"))) > 1
finish()
"""
ASYNC = """
async def ask():
    for number in range(2500):
        stream = client.astream(f"question {number}")
        await anext(stream)
        streams.append(stream)
    del stream
    sys.settrace(drop_one)
    for source in ("live", "replay"):
        assert (await client.acomplete("Why?")).source == source
        assert len([chunk async for chunk in client.astream("How?")]) > 1
    finish()
asyncio.run(ask())
"""


@pytest.mark.parametrize("calls", [SYNC, ASYNC], ids=["sync", "async"])
def test_streams_may_be_collected_at_any_line_that_a_call_runs(run_python, calls):
    done = run_python(DROP_EVERYWHERE + calls)

    assert done.stdout == "[('interrupted', 2500), ('ok', 4)]\n", done.stderr


def test_a_stream_that_is_dropped_last_is_in_the_ledger(run_python):
    done = run_python(
        "from llm_magic import client\n"
        "stream = client.stream('Why?', model='echo/echo')\n"
        "next(stream)\n"
        "del stream\n"
    )

    assert (done.stdout, done.stderr) == ("", "")
    assert [row["status"] for row in history.default().rows()] == ["interrupted"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes fork")
def test_a_child_does_not_end_a_stream_of_its_parent(run_python):
    done = run_python(
        "import os\n"
        "from llm_magic import client, dropped\n"
        "stream = client.stream('Why?', model='echo/echo')\n"
        "next(stream)\n"
        "if not (child := os.fork()):\n"
        "    del stream\n"
        "    next(client.stream('child', model='echo/echo'))\n"
        "    dropped.wait()\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "for _ in stream:\n"
        "    pass\n"
    )

    rows = [(row["prompt"], row["status"]) for row in history.default().rows()]
    assert rows == [("Why?", "ok"), ("child", "interrupted")], done.stderr


def test_a_plain_call_starts_no_thread_for_streams(run_python):
    done = run_python(
        "import threading\n"
        "from llm_magic import complete\n"
        "complete('Why?', model='echo/echo', mode='CAPTURE')\n"
        "complete('Why?', model='echo/echo', mode='CAPTURE')\n"
        "print([thread.name for thread in threading.enumerate()])\n"
    )

    assert done.stdout == "['MainThread']\n", done.stderr
