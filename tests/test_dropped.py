"""What is left to do for dropped streams is done by a thread of its own, in order."""

from __future__ import annotations

import os
import threading

import pytest

from llm_magic import dropped


def test_it_is_done_by_another_thread_in_order():
    done = []
    soon = dropped.expect()

    for number in range(3):
        soon(lambda number=number: done.append((number, threading.current_thread())))
    dropped.wait()

    assert [number for number, _ in done] == [0, 1, 2]
    assert threading.current_thread() not in {thread for _, thread in done}


def test_what_fails_is_told_and_the_rest_is_done(capsys):
    done = []
    soon = dropped.expect()

    soon(lambda: 1 / 0)
    soon(lambda: done.append(True))
    dropped.wait()

    assert done == [True]
    assert "not written down: division by zero" in capsys.readouterr().err


def test_at_the_end_of_the_process_it_is_done(run_python):
    code = (
        "from llm_magic import dropped\n"
        "class Stream:\n"
        "    def __del__(self):\n"
        "        soon(lambda: print('done'))\n"
        "soon = dropped.expect()\n"
        "kept = Stream()\n"
        "Stream()\n"
    )

    assert run_python(code).stdout == "done\ndone\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes fork")
def test_a_child_has_a_thread_of_its_own_and_ends_no_stream_of_its_parent(run_python):
    code = (
        "import os\n"
        "from llm_magic import dropped\n"
        "parents = dropped.expect()\n"
        "if not (child := os.fork()):\n"
        "    parents(lambda: print('not mine', flush=True))\n"
        "    dropped.expect()(lambda: print('done', flush=True))\n"
        "    dropped.wait()\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "parents(lambda: print('mine', flush=True))\n"
    )

    assert run_python(code).stdout == "done\nmine\n"


def test_where_no_thread_can_begin_it_is_done_at_once(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    done = []
    monkeypatch.setattr(dropped, "_worker", dropped._Worker())
    monkeypatch.setattr(threading.Thread, "start", refuse)

    dropped.expect()(lambda: done.append(True))

    assert done == [True]
