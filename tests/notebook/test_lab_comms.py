"""The comms in real kernels: who opens them, what goes over them, and what is left behind."""

from __future__ import annotations

import subprocess
import sys

import pytest

from llm_magic.notebook.lab import CONTROL, STATE, VERSION

GATE = "import pathlib, time\nwhile not pathlib.Path('go').exists():\n    time.sleep(0.01)"


def kinds(messages):
    return [one["msg_type"] for one in messages if one["msg_type"].startswith("comm_")]


def printed(messages):
    return "".join(one["content"]["text"] for one in messages if one["msg_type"] == "stream")


def test_loading_announces_the_kernel_and_nothing_is_told_before_a_hello(open_page):
    kernel, _ = open_page("%llm config model=echo/echo")

    messages = kernel.run("%%complete\nWhy?\n")

    assert kernel.opened[0]["data"] == {"version": VERSION}
    assert kinds(messages) == []
    threads = "import threading; print([one.name for one in threading.enumerate()])"
    assert "llm-magic figures" not in kernel.printed(threads)


def test_a_hello_is_answered_with_the_state_and_the_calls(open_page):
    kernel, page = open_page("%llm config model=echo/echo")
    kernel.run("%%complete\nWhy?\n")

    state = page.hello()
    calls = page.hears(lambda data: data["type"] == "calls")
    reply = page.reply("hello")

    assert (state["notebook"], state["mode"], state["problem"]) == ("a", "FALLBACK", None)
    assert state["session"]["live"] == 1
    assert [(one["outcome"], one["prompt"]) for one in calls["calls"]] == [("live", "Why?")]
    assert reply == {"type": "reply", "id": "hello", "result": None, "error": None}


def test_the_mode_is_set_while_a_cell_runs(open_page, tmp_path):
    kernel, page = open_page()
    if "kernel subshells" not in kernel.features():
        pytest.skip("this ipykernel has no subshells")
    page.hello()
    request = kernel.begin(f"{GATE}\n%llm mode")

    page.send({"type": "mode", "id": "1", "mode": "CAPTURE"})
    state = page.hears(lambda data: data["type"] == "state")
    reply = page.reply("1")
    (tmp_path / "work" / "go").touch()
    messages, _ = kernel.finish(request)

    assert state["mode"] == "CAPTURE"
    assert reply["error"] is None
    assert printed(messages) == "mode: CAPTURE (%llm config)\n"


def test_a_change_in_a_cell_is_told(open_page):
    kernel, page = open_page()
    page.hello()

    kernel.begin("%llm mode DISABLED\n%llm budget 0.50")
    state = page.hears(lambda data: data["type"] == "state" and data["mode"] == "DISABLED")

    assert [(one["per"], one["limit"]) for one in state["budgets"]] == [("session", "0.5")]


def test_what_a_page_asks_fires_no_event_of_a_cell(open_page, tmp_path):
    kernel, page = open_page()
    page.hello()
    page.reply("hello")
    kernel.run("fired = []\nget_ipython().events.register('post_execute', lambda: fired.append(1))")
    kernel.run("fired.clear()")

    page.send({"type": "mode", "id": "1", "mode": None})
    page.reply("1")

    # That of the line before.
    assert kernel.printed("print(len(fired))") == "1\n"


def test_what_cannot_be_understood_is_answered_and_not_logged(open_page):
    _, page = open_page()
    page.hello()
    page.reply("hello")

    for asked in (None, [], "text", {}, {"type": "mode"}, {"id": 3, "type": "mode"}):
        page.send(asked)
    page.send({"type": "dance", "id": "1"})
    reply = page.reply("1")

    assert reply["error"] == "llm-magic in this kernel does not know 'dance'"
    assert page.printed == ""


def test_two_pages_hear_the_same(open_page):
    kernel, first = open_page()
    second = type(first)(kernel)
    first.hello()
    first.reply("hello")

    second.open(type="mode", id="second", mode="REPLAY")
    state = first.hears(lambda data: data["type"] == "state")

    assert state["mode"] == "REPLAY"
    assert second.reply("second")["error"] is None


def test_unloading_closes_and_loading_again_opens(open_page):
    kernel, page = open_page()
    before = page.hello()
    page.reply("hello")

    closed = kernel.run("%unload_ext llm_magic")
    opened = kernel.run("%load_ext llm_magic")
    again = type(page)(kernel).hello()

    assert kinds(closed) == ["comm_close"]
    assert kinds(opened) == ["comm_open"]
    assert again["kernel"] == before["kernel"]
    reloaded = kernel.run("%reload_ext llm_magic")
    assert kinds(reloaded) == ["comm_close", "comm_open"]
    left = (
        "import comm, threading; manager = comm.get_comm_manager()\n"
        "print(len(manager.comms), list(manager.targets), threading.active_count())"
    )
    told = kernel.printed(f"%unload_ext llm_magic\n{left}")
    assert told.startswith("0 []")


def test_a_page_that_leaves_takes_its_comm_with_it(open_page):
    kernel, page = open_page()
    page.hello()
    page.reply("hello")
    other = type(page)(kernel)
    other.hello()
    other.reply("hello")

    page.close()
    other.send({"type": "mode", "id": "1", "mode": None})
    other.reply("1")

    left = "import comm\nprint(len(comm.get_comm_manager().comms))"
    assert kernel.printed(left) == "2\n"
    closed = kernel.run("%unload_ext llm_magic")
    assert [one["content"]["comm_id"] for one in closed if one["msg_type"] == "comm_close"] == [
        kernel.opened[0]["comm_id"]
    ]


def test_a_page_without_our_part_closes_the_comm_for_itself_only(open_page):
    kernel, page = open_page()
    state = kernel.opened[0]["comm_id"]

    page._send("comm_close", {"comm_id": state, "data": {}})
    page.hello()
    kernel.client.comm_info(STATE)
    while "comms" not in (reply := kernel.client.get_shell_msg(timeout=60)["content"]):
        pass

    assert list(reply["comms"]) == [state]


def test_a_kernel_after_a_restart_is_another_one(open_page):
    kernel, page = open_page()
    before = page.hello()

    kernel.restart()
    kernel.run("%load_ext llm_magic")
    after = type(page)(kernel).hello()

    assert after["kernel"] != before["kernel"]


def test_without_a_page_nothing_is_announced(start_kernel):
    kernel = start_kernel()

    messages = kernel.run("%load_ext llm_magic")

    assert kinds(messages) == []
    assert kernel.printed("import comm; print(list(comm.get_comm_manager().targets))") == (
        f"['{CONTROL}']\n"
    )


@pytest.mark.parametrize("command", ["run", "verify"])
def test_a_kernel_that_is_started_from_a_notebook_announces_nothing(
    command, write_notebook, monkeypatch, tmp_path
):
    code = "import os\nassert 'JPY_SESSION_NAME' not in os.environ"
    path = write_notebook("b.ipynb", "%load_ext llm_magic", code)
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "work" / "a.ipynb"))

    done = subprocess.run(
        [sys.executable, "-m", "llm_magic", command, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "comm" not in done.stderr
