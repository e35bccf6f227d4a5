"""``%llm attach`` and ``%llm detach``: the calls of other libraries in a notebook."""

from __future__ import annotations

import os
from threading import Event

import httpx2
import pytest
from IPython.core.error import UsageError

from llm_magic import attachment, history
from llm_magic.exceptions import ConfigError

ASK = """
import os, httpx2
body = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Why?"}]}
httpx2.post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=body).status_code
"""


@pytest.fixture(autouse=True)
def _detached():
    yield
    attachment.detach_all()


def test_calls_in_cells_are_recorded_until_detach(terminal, server):
    terminal.run("%llm attach")
    answers = [terminal.run(ASK), terminal.run(ASK)]
    terminal.run("%llm detach")
    terminal.run(ASK)

    assert answers == [200, 200]
    assert (server.count, history.totals().replayed) == (2, 1)


def test_the_cell_that_asked_is_in_the_ledger(terminal, server):
    terminal.run("%llm attach")

    terminal.run("# my question" + ASK)

    assert history.default().rows()[0]["cell_line"] == "# my question"


@pytest.mark.parametrize("words", ["attach", "attach 127.0.0.1:8080", "detach", "attach --status"])
def test_each_command_says_something(terminal, words):
    terminal.run(f"shown = %llm {words}")

    assert terminal.printed or str(terminal.names["shown"])


def test_the_status_tells_libraries_and_servers(terminal):
    terminal.run("%llm attach llm.example.org")

    text = str(terminal.run("%llm attach --status"))

    assert "httpx2" in text
    assert "llm.example.org" in text


def test_a_wrong_option_is_told(terminal):
    terminal.fails("%llm attach --all", UsageError)


def test_a_wrong_host_is_told_in_one_line(terminal):
    told = terminal.fails("%llm attach 127.0.0.1:port", ConfigError)

    assert told.startswith("ConfigError: '127.0.0.1:port' names no server")


def test_the_mode_decides_on_the_placeholder(terminal):
    terminal.run("%llm attach")

    terminal.run("%llm mode REPLAY")
    assert "OPENAI_API_KEY" in os.environ
    terminal.run("%llm config mode=FALLBACK")

    assert "OPENAI_API_KEY" not in os.environ


def test_unloading_the_extension_detaches(terminal):
    before = httpx2.HTTPTransport.handle_request
    terminal.run("%llm attach")

    terminal.run("%unload_ext llm_magic")

    assert httpx2.HTTPTransport.handle_request is before


SDK = """
%load_ext llm_magic
%llm attach
import openai
messages = [{"role": "user", "content": "Why?"}]
"""
PIECES = """
pieces = openai.OpenAI().chat.completions.create(model="m", messages=messages, stream=True)
print([piece.choices[0].delta.content for piece in pieces])
"""

PRINTED = """
for piece in openai.OpenAI().chat.completions.create(model="m", messages=messages, stream=True):
    print(piece.choices[0].delta.content)
"""


def test_a_notebook_of_an_sdk_replays_its_three_answers(
    server, write_notebook, run_notebook, monkeypatch
):
    for number in range(3):
        server.reply(f"answer {number}")
    loop = f"for _ in range(3):{PIECES}".replace("\n", "\n    ")
    path = write_notebook("sdk.ipynb", SDK, loop)

    live = run_notebook(path, "--mode", "CAPTURE")
    server.close()
    monkeypatch.delenv("OPENAI_API_KEY")
    replayed = run_notebook(path, "--mode", "REPLAY")

    assert "answer" in live[1].outputs[0].text
    assert replayed[1].outputs == live[1].outputs
    assert server.count == 3


def test_a_loop_that_is_left_early_replays(server, write_notebook, run_notebook, monkeypatch):
    left = f"import gc; gc.disable(){PRINTED}    break"
    path = write_notebook("left.ipynb", SDK, left)

    live = run_notebook(path, "--mode", "CAPTURE")
    recorded = [row["status"] for row in history.default().rows()]
    monkeypatch.delenv("OPENAI_API_KEY")
    replayed = run_notebook(path, "--mode", "REPLAY")

    assert recorded == ["closed"]
    assert replayed[1].outputs == live[1].outputs


def test_a_stream_that_a_cell_left_is_recorded_at_its_end(terminal, server):
    terminal.run(SDK)

    terminal.run(f"import gc; gc.disable(){PRINTED}    break\ngc.enable()")

    assert [row["status"] for row in history.default().rows()] == ["closed"]


def test_an_interrupted_cell_leaves_a_row_and_no_recording(server, start_kernel):
    server.reply("one two three", gate=Event())
    kernel = start_kernel()
    kernel.run(SDK)

    request = kernel.begin(PRINTED)
    kernel.message(request, lambda message: message["msg_type"] == "stream")
    kernel.manager.interrupt_kernel()
    _, reply = kernel.finish(request)

    assert reply["ename"] == "KeyboardInterrupt"
    assert [(row["status"], row["cost"]) for row in history.default().rows()] == [
        ("interrupted", None)
    ]
    kernel.run(PIECES)
    assert server.count == 2
