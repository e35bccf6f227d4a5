"""Watchers hear of calls, cells and clicks, and nothing is left when they are gone."""

from __future__ import annotations

import threading

from llm_magic import complete
from llm_magic.notebook import changes


def threads():
    return [one.name for one in threading.enumerate() if one.name.startswith("llm-magic")]


def test_a_call_is_told_on_a_thread_of_its_own():
    heard = threading.Event()
    names = []
    end = changes.watch(lambda: (names.append(threading.current_thread().name), heard.set()))

    complete("Hello", model="echo/echo")

    assert heard.wait(60)
    assert names[0] == "llm-magic figures"
    end()


def test_the_end_of_a_cell_is_told(notebook):
    heard = threading.Event()
    end = changes.watch(heard.set)

    notebook.run("1 + 1")

    assert heard.wait(60)
    end()


def test_what_is_done_after_cells_is_done_when_the_cell_has_ended(notebook):
    seen = []
    end = changes.watch(lambda: None)
    stop = changes.after_cells(lambda: seen.append("after"))

    notebook.run("1 + 1")

    assert seen == ["after"]
    stop()
    end()


def test_without_watchers_there_is_no_thread_and_no_hook(notebook):
    before = len(notebook.shell.events.callbacks["post_run_cell"])

    changes.watch(lambda: None)()

    assert "llm-magic figures" not in threads()
    assert len(notebook.shell.events.callbacks["post_run_cell"]) == before


def test_a_watcher_that_fails_is_told_once_and_the_others_go_on(capsys):
    heard = threading.Event()
    times = []

    def fails():
        times.append(1)
        raise ZeroDivisionError("broken watcher")

    ends = [changes.watch(fails), changes.watch(heard.set)]
    for _ in range(2):
        changes.tell()
        assert heard.wait(60)
        heard.clear()

    assert times == [1]
    assert "broken watcher" in capsys.readouterr().err
    for end in ends:
        end()


def test_a_watcher_may_end_itself():
    ended = threading.Event()

    def once():
        end()
        ended.set()

    end = changes.watch(once)
    changes.tell()

    assert ended.wait(60)
    changes.watch(lambda: None)()
    assert "llm-magic figures" not in threads()


def test_a_child_process_watches_nothing(run_python):
    done = run_python(
        "import os\n"
        "from llm_magic import complete\n"
        "from llm_magic.history import watchers\n"
        "from llm_magic.notebook import changes\n"
        "end = changes.watch(lambda: None)\n"
        # As if the thread that watches had just been looking.
        "changes._watching._news._cond.acquire()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    complete('Hello', model='echo/echo')\n"
        "    changes.tell()\n"
        "    os._exit(len(watchers._watchers))\n"
        "changes._watching._news._cond.release()\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(watchers._watchers))\n"
        "end()\n"
    )

    assert done.stdout == "0 1\n", done.stderr
