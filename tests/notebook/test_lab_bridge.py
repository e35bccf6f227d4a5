"""What pages hear: all at a hello, then what changes, from any number of threads."""

from __future__ import annotations

import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from llm_magic import complete, config, history, replay
from llm_magic.exceptions import ReplayMissError, StoreError
from llm_magic.history import History
from llm_magic.notebook import changes
from llm_magic.notebook.lab import VERSION
from llm_magic.notebook.lab_requests import QUICK, Work

MODEL = "openai/gpt-5-mini"
KEY = "sk-abcdefghijklmnopqrstuvwxyz"


def watching():
    return "llm-magic figures" in [one.name for one in threading.enumerate()]


def miss(prompt):
    with pytest.raises(ReplayMissError):
        complete(prompt, model=MODEL, mode="REPLAY")


def test_nothing_is_told_before_a_hello(pages):
    complete("one", model="echo/echo")
    pages.ask("mode", mode="REPLAY")

    assert [one["type"] for one in pages.heard] == ["reply"]
    assert not watching()


def test_a_hello_brings_the_state_the_calls_and_the_answer(pages):
    complete("one", model="echo/echo")

    pages.hello()

    assert [one["type"] for one in pages.heard] == ["state", "calls", "reply"]
    assert pages.heard[1]["reset"]
    (call,) = pages.calls
    assert (call["outcome"], call["model"], call["prompt"]) == ("live", "echo/echo", "one")


def test_of_many_calls_a_page_gets_the_newest(pages):
    with replay.run("many"):
        for number in range(250):
            complete(f"call {number}", model="echo/echo", mode="DISABLED")

    pages.hello()

    assert [pages.calls[at]["prompt"] for at in (0, -1)] == ["call 50", "call 249"]
    assert len(pages.calls) == 200


def test_a_call_is_told_when_it_begins_and_again_when_it_ends(pages, server):
    gate = threading.Event()
    server.reply("one two", gate=gate)
    pages.hello()

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(complete, "one", model=MODEL)
        begun = pages.wait(lambda one: one["type"] == "calls" and one["calls"])
        gate.set()
        answer.result()
    ended = pages.wait(lambda one: one["type"] == "calls" and one["calls"][0:] and one is not begun)

    assert [call["outcome"] for call in begun["calls"]] == ["pending"]
    assert [call["outcome"] for call in ended["calls"]] == ["live"]
    assert ended["calls"][0]["id"] == begun["calls"][0]["id"]
    assert len(pages.calls) == 1
    pages.wait(lambda one: one["type"] == "state" and one["session"]["spent"] != "0")


@pytest.mark.parametrize(
    ("source", "status", "outcome"),
    [
        ("live", "ok", "live"),
        ("live", "closed", "closed"),
        ("live", "incomplete", "incomplete"),
        ("live", "unknown", "unknown"),
        ("live", "refused", "refused"),
        ("live", "something new", "unknown"),
        ("replay", "ok", "replay"),
        ("replay", "closed", "replay"),
        ("replay", "miss", "miss"),
    ],
)
def test_what_became_of_a_call_is_one_word(pages, source, status, outcome):
    history.default().record(source=source, status=status, provider="openai", model="gpt")

    pages.hello()

    assert [call["outcome"] for call in pages.calls] == [outcome]


def test_a_miss_is_told_with_what_the_doctor_says(pages, server):
    pages.hello()
    complete("Write a long poem", model=MODEL)

    miss("Write a short poem")
    explained = pages.wait(
        lambda one: one["type"] == "calls" and any(call["explanation"] for call in one["calls"])
    )

    (call,) = explained["calls"]
    assert call["outcome"] == "miss"
    assert "[-long-]{+short+}" in call["explanation"]
    assert "short poem" in call["error"]


def test_a_miss_is_explained_once(pages, server, monkeypatch):
    from llm_magic import doctor

    diagnosed = []
    diagnose = doctor.diagnose
    monkeypatch.setattr(
        doctor, "diagnose", lambda *given, **more: diagnosed.append(1) or diagnose(*given, **more)
    )
    miss("one")
    pages.hello()
    pages.wait(lambda one: one["type"] == "calls" and one["calls"][0]["explanation"])

    pages.hello()

    assert pages.calls[0]["explanation"]
    assert diagnosed == [1]


def test_texts_that_are_not_kept_are_not_told(pages, server):
    config.default().set("history_text", False)
    miss("my secret plan")

    pages.hello()
    changes.tell()
    complete("another", model="echo/echo")
    pages.wait(lambda one: one["type"] == "calls" and not one["reset"])

    assert [(call["prompt"], call["explanation"]) for call in pages.calls] == [(None, None)] * 2


def test_texts_are_short_and_hold_no_key(pages, server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.fail(500, message=f"your key {KEY} is bad \x1b[31m" + "x" * 300)
    with replay.run("cell"), pytest.raises(Exception, match="is bad"):
        complete(f"{KEY} " + "long " * 100, model=MODEL, num_retries=0)

    pages.hello()

    (call,) = pages.calls
    assert KEY not in str(pages.heard)
    assert "\x1b" not in str(call)
    assert len(call["prompt"]) == len(call["error"]) == 200


def test_a_state_that_is_the_same_is_not_told_again(pages):
    pages.hello()
    before = len(pages.heard)

    for _ in range(3):
        pages.ask("mode", mode=None)

    assert [one["type"] for one in pages.heard[before:]] == ["reply"] * 3


def test_a_click_in_a_panel_is_told(pages):
    pages.hello()

    config.default().set("mode", "REPLAY")
    changes.tell()

    pages.wait(lambda one: one["type"] == "state" and one["mode"] == "REPLAY")


def test_the_state_comes_before_the_answer(pages):
    pages.hello()

    pages.ask("mode", mode="DISABLED")

    assert [one["type"] for one in pages.heard[-2:]] == ["state", "reply"]
    assert pages.state["mode"] == "DISABLED"


def test_after_the_end_there_is_no_thread_and_nothing_is_told(pages):
    pages.hello()
    before = len(pages.heard)

    pages.bridge.close()
    complete("one", model="echo/echo")

    assert not watching()
    assert len(pages.heard) == before


def test_a_ledger_that_cannot_be_read_is_told_and_the_watching_goes_on(pages, monkeypatch):
    def fails(*_, **__):
        raise StoreError("the ledger is damaged")

    monkeypatch.setattr(History, "rows", fails)
    monkeypatch.setattr(History, "totals", fails)

    pages.hello()
    broken = pages.state["problem"]
    monkeypatch.undo()
    changes.tell()

    assert broken == "the ledger is damaged"
    pages.wait(lambda one: one["type"] == "state" and one["problem"] is None)


def test_who_waits_for_long_work_is_answered_also_when_nobody_can_be_told(
    pages, write_notebook, monkeypatch
):
    def broken():
        raise OSError("no socket")

    write_notebook("a.ipynb", "1")
    monkeypatch.setattr(pages.bridge, "_publish", broken)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    plan = pages.ask("plan", notebook="a")

    assert plan["calls"] == []


def test_what_cannot_be_sent_is_answered_with_the_reason(pages, monkeypatch):
    monkeypatch.setitem(QUICK, "mode", lambda asked: object())

    told = pages.refused("mode", mode=None)

    assert "object" in told


def test_what_did_not_reach_the_pages_does_with_the_next_change(pages, monkeypatch, capsys):
    pages.hello()
    pages.heard.clear()
    broken = threading.Event()

    def fails(message):
        broken.set()
        raise OSError("no socket")

    with monkeypatch.context() as patch:
        patch.setattr(pages.bridge, "_send", fails)
        complete("lost", model="echo/echo")
        assert broken.wait(60)
    complete("heard", model="echo/echo")

    told = pages.wait(lambda one: one["type"] == "calls" and len(one["calls"]) == 2)
    assert told["reset"]
    assert [call["prompt"] for call in told["calls"]] == ["lost", "heard"]
    assert pages.state["session"]["live"] == 2
    assert capsys.readouterr().err.count("Traceback") == 1


def test_a_hello_that_comes_after_the_end_begins_nothing(pages):
    pages.bridge.close()

    pages.hello()

    assert not watching()


def test_a_child_process_that_ends_leaves_the_work_of_its_parent(pages, monkeypatch):
    work = Work()
    pages.bridge._work["1"] = work
    monkeypatch.setattr(os, "getpid", lambda: -1)

    pages.bridge._end_work()

    assert not work.stopped
    monkeypatch.undo()
    pages.bridge.close()
    assert work.stopped


@pytest.mark.parametrize("asked", [None, 1, "text", [], {}, {"type": "mode"}, {"id": 1}])
def test_what_has_no_id_is_ignored(pages, asked):
    pages.bridge.hear(asked)

    assert pages.heard == []


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, "does not know None"),
        ({"type": []}, "does not know []"),
        ({"type": "x" * 500}, "does not know 'xxx"),
        ({"type": "hello"}, "speaks version None"),
        ({"type": "hello", "version": VERSION + 1}, f"speaks version {VERSION + 1}"),
        ({"type": "hello", "version": VERSION, "notebook": 3}, "notebook is text, not 3"),
        ({"type": "hello", "version": VERSION, "notebook": "../a"}, "../a is no name"),
        ({"type": "hello", "version": VERSION, "mode": "FAST"}, "FAST"),
        ({"type": "mode", "mode": 3}, "mode is text, not 3"),
        ({"type": "mode", "mode": "FAST"}, "FAST"),
        ({"type": "mode", "mode": "F" * 5_000_000}, "mode is too long: 'FFF"),
        ({"type": "budget"}, "per is text, not None"),
        ({"type": "budget", "per": "year", "usd": "1"}, "budget per year: "),
        ({"type": "budget", "per": "day", "usd": "much"}, "it takes an amount in USD"),
        ({"type": "budget", "per": "day", "usd": 3}, "usd is text, not 3"),
        ({"type": "save"}, "notebook is text, not None"),
        ({"type": "save", "notebook": "a\0b"}, "there is no file a"),
        ({"type": "save", "notebook": "/etc/passwd"}, "/etc/passwd is no name"),
        ({"type": "save", "notebook": "x" * 100_000}, "notebook is too long"),
        ({"type": "save", "notebook": "nowhere"}, "there is no file nowhere.ipynb"),
        ({"type": "verify", "notebook": "../up"}, "../up is no name"),
        ({"type": "plan", "notebook": ".."}, ".. is no name"),
        ({"type": "pack", "notebook": "nowhere"}, "there is no file nowhere.ipynb"),
        ({"type": "renamed", "notebook": ""}, "notebook is text, not ''"),
        ({"type": "call", "key": "ab", "ordinal": "0"}, "ordinal is a number, not '0'"),
        ({"type": "call", "key": "ab" * 32, "ordinal": 1}, "nothing is recorded under abab"),
    ],
)
def test_what_cannot_be_done_is_answered_in_one_short_line(pages, asked, told):
    pages.bridge.hear({"id": "1", **asked})

    error = pages.reply("1")["error"]
    assert told in error
    assert "\n" not in error
    assert len(error) < 300


def test_an_error_holds_no_key(pages, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with replay.run("cell"):
        error = pages.refused("mode", mode=KEY)

    assert KEY not in error


def test_eight_threads_at_once_get_their_answers_and_the_last_state_is_true(pages, write_notebook):
    write_notebook("a.ipynb")
    config.default().notebook_hint = "a.ipynb"
    pages.hello()

    def work(number):
        for turn in range(10):
            pages.ask("mode", mode=("REPLAY", "FALLBACK", "CAPTURE", None)[turn % 4])
            pages.ask("budget", per="day", usd=str(number + 1))
            complete(f"{number} {turn}", model="echo/echo", mode="FALLBACK")
            pages.ask("save", notebook="a")
            pages.hello()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    pages.ask("mode", mode="DISABLED")

    assert pages.state["mode"] == "DISABLED"
    assert pages.state["session"]["live"] == 80
    assert pages.state["cassette"]["recordings"] == 80
    assert {call["prompt"] for call in pages.calls} == {
        f"{number} {turn}" for number in range(8) for turn in range(10)
    }
    assert {call["outcome"] for call in pages.calls} == {"live"}


ENDS = """
import os
from llm_magic.notebook.lab_bridge import Bridge
Bridge(print).hear({"type": "verify", "id": "1", "notebook": "a"})
print(open("started").read(), flush=True)
"""


def test_a_kernel_that_ends_takes_the_kernel_of_a_verify_with_it(
    run_python, write_notebook, tmp_path
):
    os.mkfifo(tmp_path / "work" / "started")
    code = "import os, time\nprint(os.getpid(), file=open('started', 'w'), flush=True)\n"
    write_notebook("a.ipynb", f"{code}time.sleep(600)")

    done = run_python(ENDS)

    verified = int(done.stdout.split()[0])
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(verified).wait(60)
