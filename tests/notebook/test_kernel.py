"""In real kernels: interrupts, restarts, two at once, and notebooks that run again anywhere."""

from __future__ import annotations

import subprocess
import sys
from threading import Event

import nbformat
import pytest

from llm_magic import cli, history
from llm_magic.config import Settings
from llm_magic.notebook.display import MIME_TYPE

LOAD = "%load_ext llm_magic\n%llm config model=openai/gpt-5-mini"
IMPORT = "import llm_magic\nMODEL = 'openai/gpt-5-mini'"
LINES = "lines = []\nfor _ in range(5):\n    line = %complete Once more?\n    lines.append(line)"
CALLS = "calls = [llm_magic.complete('And again?', model=MODEL).text for _ in range(5)]"
SHOW = "print(lines, calls)"
# ipykernel 7 notices the interrupt of an await when its event loop wakes up next.
TICK = """
import asyncio
async def tick():
    while True:
        await asyncio.sleep(0.05)
ticking = asyncio.create_task(tick())
"""
FIRST, SECOND = list("12345"), [*list("6789"), "10"]
JUPYTER_EXECUTE = [sys.executable, "-c", "from nbclient.cli import main; main()"]


def ledger(folder="."):
    """Rows of the ledger that the kernels wrote."""
    return history.at(Settings(folder).workspace).rows()


def outputs(messages, kind):
    return [message["content"] for message in messages if message["msg_type"] == kind]


def printed(cells):
    return "".join(
        output.text for cell in cells for output in cell.outputs if output.output_type == "stream"
    )


@pytest.fixture
def five_answers(server, write_notebook, run_notebook):
    """A notebook whose two questions were asked five times each; its cassette is saved."""
    path = write_notebook("analysis.ipynb", LOAD, IMPORT, LINES, CALLS, SHOW)
    for number in [*FIRST, *SECOND]:
        server.reply(number)
    cells = run_notebook(path, "--mode", "CAPTURE")
    assert f"{FIRST} {SECOND}" in printed(cells)
    assert cli.main(["cassette", "export", str(path)]) == 0
    return path


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """Run a notebook as ``jupyter execute`` does: no cell ids, and nobody tells its name."""

    def run(path):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("LLM_MAGIC_MODE", "REPLAY")
        monkeypatch.delenv("OPENAI_API_KEY")
        done = subprocess.run(
            [*JUPYTER_EXECUTE, "--output", "headless", str(path)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return nbformat.read(path.with_name("headless.ipynb"), as_version=4).cells

    return run


def edit(path, change):
    """Change the list of a notebook's cells in its file."""
    content = nbformat.read(path, as_version=4)
    content.cells = change(content.cells)
    nbformat.write(content, path)


def test_five_answers_replay_in_order_without_server_key_and_name(five_answers, server, execute):
    server.close()

    assert f"{FIRST} {SECOND}" in printed(execute(five_answers))


def test_moving_and_editing_cells_loses_no_answer(five_answers, server, execute, tmp_path):
    def change(cells):
        load, imports, lines, calls, show = cells
        lines.source = f"# Shorter, please.\n{LINES.replace('lines', 'found')}\nlines = found"
        show.source += "\n# Edited."
        between = nbformat.v4.new_code_cell("x = 1")
        return [load, imports, between, calls, lines, show]

    edit(five_answers, change)
    # Somebody else's checkout: the notebook and its cassette, no working files.
    there = tmp_path / "there"
    there.mkdir()
    for file in (five_answers, five_answers.with_name("analysis.cassette.jsonl")):
        file.rename(there / file.name)
    server.close()

    assert f"{FIRST} {SECOND}" in printed(execute(there / "analysis.ipynb"))


def test_a_capture_that_breaks_off_leaves_the_other_answers(
    five_answers, server, run_notebook, tmp_path, capsys
):
    server.reply("new")
    server.fail(500)
    before = five_answers.read_bytes()

    assert cli.main(["run", str(five_answers), "--mode", "CAPTURE"]) == cli.FAILED

    assert "cell 3 of 5 (lines = []): ServerError" in capsys.readouterr().err
    assert five_answers.read_bytes() == before
    cells = run_notebook(five_answers, "--mode", "REPLAY")
    assert f"{['new', *FIRST[1:]]} {SECOND}" in printed(cells)


def test_a_replayed_notebook_is_the_same_every_time(server, write_notebook, run_notebook):
    server.reply("<script>alert(1)</script>\n\n![x](https://evil.example/x.png) **bold** " * 20)
    path = write_notebook("page.ipynb", LOAD, "%%complete\nWhy?")
    live = run_notebook(path, "--mode", "CAPTURE")

    first = run_notebook(path, "--mode", "REPLAY")
    second = run_notebook(path, "--mode", "REPLAY")

    (output,) = first[1].outputs
    assert output == second[1].outputs[0]
    assert output.output_type == "display_data"
    assert set(output.data) == {"text/plain", "text/html", MIME_TYPE}
    assert [len(cell.outputs) for cell in live] == [len(cell.outputs) for cell in first]
    assert len(live[1].outputs) == 1
    for shown in (output, live[1].outputs[0]):
        assert "<script" not in shown.data["text/html"]
        assert "<img" not in shown.data["text/html"]
        assert "<strong>bold</strong>" in shown.data["text/html"]


def test_messages_of_a_live_and_of_a_replayed_answer(server, start_kernel):
    gate = Event()
    server.reply(" ".join(["word"] * 200), gate=gate)
    kernel = start_kernel()
    kernel.run("%load_ext llm_magic")

    request = kernel.begin("%%complete -m openai/gpt-5-mini\nWhy?")
    first = kernel.message(request, lambda message: message["msg_type"] == "display_data")
    gate.set()
    live, _ = kernel.finish(request)
    replayed = kernel.run("%%complete -m openai/gpt-5-mini\nWhy?")

    assert first["content"]["data"]["text/plain"] == "word\n\n…"
    updates = outputs(live, "update_display_data")
    ids = {content["transient"]["display_id"] for content in [first["content"], *updates]}
    assert len(ids) == 1
    assert 1 <= len(updates) <= 30
    assert outputs(live, "display_data") == []
    assert len(outputs(replayed, "display_data")) == 1
    assert outputs(replayed, "display_data")[0]["transient"] == {}
    assert outputs(replayed, "update_display_data") == []


def test_an_interrupt_stops_the_stream_and_the_next_cell_works(server, start_kernel):
    server.reply("one two three", gate=Event())
    kernel = start_kernel()
    kernel.run(LOAD)

    request = kernel.begin("%%complete --out answer\nWhy?")
    server.wait_for(1)
    kernel.message(
        request,
        lambda message: (
            message["msg_type"] == "display_data"
            and message["content"]["data"]["text/plain"].startswith("one")
        ),
    )
    kernel.manager.interrupt_kernel()
    messages, reply = kernel.finish(request)

    assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")
    assert len(reply["traceback"]) == 1
    assert "nothing of this answer was stored" in reply["traceback"][0]
    # An update; a display of its own if the interrupt came while the first one was being sent.
    (shown,) = outputs(messages, "update_display_data") + outputs(messages, "display_data")
    assert shown["data"]["text/plain"] == "one\n\nincomplete: interrupted"
    assert server.requests[0].closed_early.wait(10)
    assert [(row["status"], row["cost"]) for row in ledger()] == [("interrupted", None)]

    assert kernel.printed("print('answer' in globals())") == "False\n"
    kernel.run("%%complete --out answer\nWhy?")
    assert server.count == 2
    assert kernel.printed("print(answer)") == "You said: Why?\n"


def test_an_interrupt_at_answer_two_of_a_capture_leaves_the_other_old_answers(server, start_kernel):
    kernel = start_kernel()
    kernel.run(LOAD)
    for number in range(1, 6):
        server.reply(f"old {number}")
    loop = "for turn in range(5):\n    reply = %complete {options} Why?\n    print(reply)"
    kernel.run(loop.format(options="--mode CAPTURE"))
    server.clear()
    server.reply("new 1")
    server.hang()

    request = kernel.begin(loop.format(options="--mode CAPTURE"))
    server.wait_for(2)
    kernel.manager.interrupt_kernel()
    _, reply = kernel.finish(request)

    assert reply["ename"] == "KeyboardInterrupt"
    assert kernel.printed(loop.format(options="--mode REPLAY")).splitlines() == [
        "new 1",
        *(f"old {number}" for number in range(2, 6)),
    ]


def test_an_interrupted_await_ends_its_run(server, start_kernel):
    server.hang()
    kernel = start_kernel()
    kernel.run(f"{LOAD}\n{IMPORT}")
    kernel.run(TICK)

    request = kernel.begin("await llm_magic.acomplete('Why?', model=MODEL)")
    server.wait_for(1)
    kernel.manager.interrupt_kernel()
    messages, reply = kernel.finish(request)

    assert reply["status"] == "error"
    assert "Error in callback" not in str(outputs(messages, "stream"))
    assert server.requests[0].closed_early.wait(10)
    kernel.run("from llm_magic import replay; assert len(replay._runs) == 1, replay._runs")
    assert [row["status"] for row in ledger()] == ["interrupted"]


def test_a_restarted_kernel_finds_its_recordings(server, start_kernel):
    kernel = start_kernel()
    kernel.run(LOAD)
    kernel.run("%%complete\nWhy?")

    kernel.restart()
    kernel.run(LOAD)
    (output,) = outputs(kernel.run("%%complete\nWhy?"), "display_data")

    assert server.count == 1
    assert output["data"][MIME_TYPE]["source"] == "replay"
    assert [row["source"] for row in ledger()] == ["live", "replay"]
    assert len({row["session"] for row in ledger()}) == 2


def test_two_kernels_record_into_one_store(server, start_kernel):
    kernels = [start_kernel(), start_kernel()]
    for kernel in kernels:
        kernel.run(f"{LOAD}\n%llm mode CAPTURE\n{IMPORT}")

    requests = [
        kernel.begin(
            "for index in range(20):\n"
            f"    llm_magic.complete(f'Only {name} {{index}}', model=MODEL)\n"
            "    llm_magic.complete(f'Both {index}', model=MODEL)"
        )
        for name, kernel in zip("ab", kernels, strict=True)
    ]
    for kernel, request in zip(kernels, requests, strict=True):
        assert kernel.finish(request)[1]["status"] == "ok"

    assert server.count == 80
    assert len(ledger()) == 80
    server.close()
    kernels[0].run("%llm mode REPLAY")
    told = kernels[0].printed(
        "for name in ('Only a', 'Only b', 'Both'):\n"
        "    texts = [llm_magic.complete(f'{name} {i}', model=MODEL).text for i in range(20)]\n"
        "    print(texts == [f'You said: {name} {i}' for i in range(20)])"
    )
    assert told == "True\nTrue\nTrue\n"


SPEND = """
from concurrent.futures import ThreadPoolExecutor
import llm_magic

def ask(number):
    try:
        llm_magic.complete(f"{name} {number}?", model="openai/gpt-5-mini", max_tokens=250)
    except llm_magic.BudgetExceededError:
        return 0
    return 1

with ThreadPoolExecutor(8) as pool:
    print(sum(pool.map(ask, range(40))))
"""


def test_two_kernels_on_one_folder_never_cross_the_cap_of_the_day(server, start_kernel):
    for _ in range(80):
        server.reply("so", usage=(50, 250))  # $0.0005125 each, at $0.25 and $2 per million
    kernels = [start_kernel(), start_kernel()]
    for kernel, name in zip(kernels, "ab", strict=True):
        kernel.run(f"%load_ext llm_magic\n%llm budget 0.01 --per day\nname = {name!r}")

    begun = [(kernel, kernel.begin(SPEND)) for kernel in kernels]
    told = []
    for kernel, request in begun:
        messages, reply = kernel.finish(request)
        assert reply["status"] == "ok", reply
        told.append(int("".join(one["text"] for one in outputs(messages, "stream"))))

    assert sum(told) == len(server.requests)
    assert 0 < len(server.requests) * 0.0005125 <= 0.01


def test_misuse_fails_the_cell_and_is_told_in_one_line(start_kernel):
    kernel = start_kernel()
    kernel.run("%load_ext llm_magic")

    messages, reply = kernel.finish(kernel.begin("%%complete --modle x\nWhy?"))
    told = "".join(content["text"] for content in outputs(messages, "stream"))
    assert (reply["status"], reply["ename"]) == ("error", "UsageError")
    assert told.startswith("UsageError: no option --modle; did you mean --mode or --model")
    assert told.count("\n") == 1

    messages, reply = kernel.finish(kernel.begin("%%complete -m openai/gpt-5-mini\nWhy?"))
    (error,) = outputs(messages, "error")
    assert (reply["status"], reply["ename"]) == ("error", "MissingKeyError")
    assert len(error["traceback"]) == 1
    assert "OPENAI_API_KEY" in error["traceback"][0]
