"""``llm-magic``: as a person types it, and what it prints."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from llm_magic import __version__, history
from llm_magic.client import Client
from llm_magic.config import Settings
from llm_magic.recordings import now

OFFLINE = Path(__file__).with_name("offline")
LOAD = "%load_ext llm_magic\n%llm config model=openai/gpt-5-mini"
ASK = "%%complete --out answer\nWhy?"


@pytest.fixture
def write(tmp_path):
    """Write a notebook of these code cells; returns its path."""

    def write(name, *cells, **metadata):
        content = nbformat.v4.new_notebook(
            metadata=metadata, cells=[nbformat.v4.new_code_cell(cell) for cell in cells]
        )
        path = tmp_path / "work" / name
        nbformat.write(content, path)
        return path

    return write


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """A process that this test starts reaches nothing but this machine, and has no key."""
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_BASE_URL")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(OFFLINE))


def figures(out):
    """The last line of the summary, by the names in the line above it."""
    names, numbers = out.strip().splitlines()[-2:]
    return dict(zip(re.split(r"\s{2,}", names), re.split(r"\s{2,}", numbers.strip()), strict=True))


# run


def test_a_run_tells_calls_replays_and_money(llm_magic, server, write):
    server.reply("a", usage=(1_000_000, 0))
    server.reply("b", usage=None)
    path = write("a.ipynb", LOAD, ASK, "%%complete\nWhat?", ASK)

    code, out, err = llm_magic("run", path)

    assert (code, err) == (0, "")
    assert out.startswith("a.ipynb\n")
    assert figures(out) == {
        "cells": "4",
        "calls": "3",
        "replayed": "1 (33 %)",
        "failed": "0",
        "spent": "$0.25",
        "saved": "$0.25",
        "unknown cost": "1",
    }
    replayed = figures(llm_magic("run", path)[1])
    assert (replayed["replayed"], replayed["spent"], replayed["saved"]) == (
        "3 (100 %)",
        "$0.00",
        "$0.50",
    )
    assert server.count == 2


def test_a_run_leaves_the_notebook_as_it_is_and_writes_where_it_is_told(
    llm_magic, server, write, tmp_path
):
    path = write("a.ipynb", LOAD, ASK, "print(answer)")
    before = path.read_bytes()
    output = tmp_path / "out.ipynb"

    assert llm_magic("run", path, "-o", output)[0] == 0

    assert path.read_bytes() == before
    cells = nbformat.read(output, as_version=4).cells
    assert cells[2].outputs[0].text == "You said: Why?\n"
    assert [len(cell.outputs) for cell in cells] == [1, 1, 1]


def test_show_prints_what_the_cells_put_out(llm_magic, server, write):
    server.reply("A **bold** answer.")
    path = write("a.ipynb", LOAD, ASK, "'value'", "print('printed')")

    out = llm_magic("run", path, "--show")[1]

    assert "A **bold** answer.\n\nopenai/gpt-5-mini · " in out
    assert "'value'\n" in out
    assert "printed\n" in out
    assert "<div" not in out


def test_the_kernel_works_in_the_folder_of_the_notebook(llm_magic, server, write, monkeypatch):
    path = write("a.ipynb", LOAD, ASK, "open('here.txt', 'w').close()")
    monkeypatch.chdir(path.parent.parent)

    assert llm_magic("run", Path("work") / "a.ipynb")[0] == 0

    assert (path.parent / "here.txt").exists()
    assert (path.parent / ".llm_magic").is_dir()
    assert [row["notebook"] for row in history.at(Settings("work").workspace).rows()] == ["a"]


def test_a_cell_that_fails_is_named_and_what_came_before_is_written(
    llm_magic, server, write, tmp_path
):
    path = write("a.ipynb", LOAD, "", ASK, "# Oh\n1 / 0", "print('never')")
    output = tmp_path / "out.ipynb"

    code, out, err = llm_magic("run", path, "-o", output)

    assert code == 1
    assert figures(out)["cells"] == "3"
    assert err == (
        "llm-magic: a.ipynb failed\ncell 4 of 5 (# Oh): ZeroDivisionError: division by zero\n"
    )
    cells = nbformat.read(output, as_version=4).cells
    assert cells[3].outputs[0].ename == "ZeroDivisionError"
    assert cells[4].outputs == []
    assert cells[2].outputs


@pytest.mark.parametrize(("failures", "code"), [(2, 0), (3, 1)])
def test_a_kernel_whose_port_was_taken_meanwhile_is_started_again(
    failures, code, write, tmp_path, monkeypatch
):
    tries = tmp_path / "tries"
    tries.mkdir()
    program = f"""
import os, runpy, tempfile
tempfile.mkstemp(dir={str(tries)!r})
if len(os.listdir({str(tries)!r})) <= {failures}:
    raise SystemExit("Address already in use")
runpy.run_module("ipykernel_launcher", run_name="__main__")
"""
    folder = tmp_path / "jupyter/kernels/unlucky"
    folder.mkdir(parents=True)
    spec = {
        "argv": [sys.executable, "-c", program, "-f", "{connection_file}"],
        "display_name": "Unlucky",
        "language": "python",
    }
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    path = write("a.ipynb", "1", kernelspec={"name": "unlucky", "display_name": "Unlucky"})

    command = [sys.executable, "-m", "llm_magic", "run", path]
    found = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (found.returncode, len(os.listdir(tries))) == (code, 3)
    assert ("does not start" in found.stderr) == bool(code)
    assert ("cells" in found.stdout) != bool(code)
    assert "Exception ignored" not in found.stderr


def test_what_a_cell_prints_is_one_text_however_often_the_kernel_flushes(
    llm_magic, write, tmp_path
):
    cell = """
import sys
for text in "ab":
    print(text, flush=True)
print("c", file=sys.stderr, flush=True)
print("d", flush=True)
shown = display("before", display_id=True)
print("e", flush=True)
print("f", flush=True)
"""
    path = write("a.ipynb", cell, "shown.update('after')")
    output = tmp_path / "out.ipynb"

    assert llm_magic("run", path, "-o", output)[0] == 0

    outputs = nbformat.read(output, as_version=4).cells[0].outputs
    assert [dict(output.get("data", output)) for output in outputs] == [
        {"output_type": "stream", "name": "stdout", "text": "a\nb\n"},
        {"output_type": "stream", "name": "stderr", "text": "c\n"},
        {"output_type": "stream", "name": "stdout", "text": "d\n"},
        {"text/plain": "'after'"},
        {"output_type": "stream", "name": "stdout", "text": "e\nf\n"},
    ]


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("%%complete --modle x\nWhy?", "UsageError: no option --modle; did you mean --mode"),
        ("%%complete -m nope/x\nWhy?", "ModelNameError: Unknown provider: nope"),
        ("%%complete -m openai/x\nWhy?", "MissingKeyError: No API key for openai"),
        ("%llm nope", "UsageError: %llm nope: no such command"),
        ("import os; os._exit(1)", ": the kernel died"),
    ],
)
def test_misuse_and_a_dead_kernel_fail_the_run(llm_magic, write, cell, told):
    code, _, err = llm_magic("run", write("a.ipynb", LOAD, cell))

    assert code == 1
    assert "cell 2 of 2 (" in err
    assert told in err
    assert "Traceback" not in err


def test_replay_misses_without_asking_anybody(llm_magic, server, write):
    code, out, err = llm_magic("run", write("a.ipynb", LOAD, ASK), "--mode", "replay")

    assert code == 1
    assert "ReplayMissError: no recording" in err
    assert figures(out)["failed"] == "1"
    assert server.count == 0


def test_a_run_in_replay_is_not_loosened_by_the_notebook(llm_magic, server, write):
    path = write("a.ipynb", LOAD, "%llm mode CAPTURE", "%%complete --refresh\nWhy?")

    assert llm_magic("run", path, "--mode", "REPLAY")[0] == 1

    assert server.count == 0


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"not json", "is not a notebook"),
        (b"{}", "is not a notebook"),
        (b"[]", "is not a notebook"),
        (b"\xff\xfe", "is not a notebook"),
        (b"", "is not a notebook"),
        (None, "there is no notebook"),
    ],
)
def test_what_is_no_notebook_is_told_in_one_line(llm_magic, tmp_path, content, told):
    path = tmp_path / "work" / "a.ipynb"
    if content is not None:
        path.write_bytes(content)

    code, out, err = llm_magic("run", path)

    assert (code, out) == (1, "")
    assert told in err
    assert "a.ipynb" in err
    assert err.count("\n") == 1


def test_an_unknown_kernel_is_told_in_one_line(llm_magic, write):
    path = write("a.ipynb", "1", kernelspec={"name": "nope", "display_name": "Nope"})

    code, _, err = llm_magic("run", path)

    assert code == 1
    assert err.startswith("llm-magic: there is no kernel nope, which a.ipynb asks for")
    assert err.count("\n") == 1


def test_a_missing_folder_for_the_output_is_told_before_the_run(llm_magic, server, write):
    code, _, err = llm_magic("run", write("a.ipynb", LOAD, ASK), "-o", "nowhere/out.ipynb")

    assert (code, err) == (1, "llm-magic: there is no folder nowhere for out.ipynb\n")
    assert server.count == 0


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["rnu"],
        ["run"],
        ["run", "a.ipynb", "--mode", "REPLY"],
        ["history", "-n", "many"],
        ["cassette"],
        ["cassette", "export"],
        ["cassette", "send", "a.ipynb"],
    ],
)
def test_a_command_that_makes_no_sense_is_exit_code_2(llm_magic, words):
    code, _, err = llm_magic(*words)

    assert code == 2
    assert "usage: llm-magic" in err


def test_a_wrong_mode_names_the_near_one(llm_magic):
    assert "did you mean REPLAY?" in llm_magic("run", "a.ipynb", "--mode", "REPLY")[2]


# Away from here


def test_a_recorded_notebook_runs_offline_without_a_key_in_another_folder(
    llm_magic, server, write, tmp_path, offline, monkeypatch
):
    monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-openai-0123456789abcdef")
    path = write("a.ipynb", LOAD, ASK, "print(answer)")
    assert llm_magic("run", path)[0] == 0
    assert llm_magic("cassette", "export", path)[0] == 0
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL")
    there = tmp_path / "there"
    there.mkdir()
    for file in (path, path.with_name("a.cassette.jsonl")):
        file.rename(there / file.name)
    content = nbformat.read(there / "a.ipynb", as_version=4)
    content.cells.append(
        nbformat.v4.new_code_cell(
            "import socket\n"
            "try:\n"
            "    socket.create_connection(('192.0.2.1', 443), timeout=5)\n"
            "except PermissionError as error:\n"
            "    print(error)"
        )
    )
    nbformat.write(content, there / "a.ipynb")
    before = server.count

    done = subprocess.run(
        [sys.executable, "-m", "llm_magic", "run", "a.ipynb", "--mode", "REPLAY", "--show"],
        cwd=there,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "You said: Why?" in done.stdout
    assert "offline: " in done.stdout
    assert figures(done.stdout)["replayed"] == "1 (100 %)"
    assert figures(done.stdout)["spent"] == "$0.00"
    assert server.count == before


# history


def test_history_shows_the_newest_calls_and_the_sums(llm_magic, server, tmp_path):
    server.reply("x", usage=(1_000_000, 0))
    client = Client(tmp_path / "work", model="openai/gpt-5-mini")
    client.complete("First\nquestion")
    client.complete("Second question that is rather a long one, as questions go")
    client.complete("Second question that is rather a long one, as questions go")

    code, out, _ = llm_magic("history", tmp_path / "work", "-n", "2")

    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == [
        *("started", "model", "source", "status", "tokens", "cost", "saved", "prompt")
    ]
    assert len(lines) == 5
    assert "First question" not in out
    assert re.search(r"openai/gpt-5-mini  live    ok  .*Second question", lines[1])
    assert re.search(r"openai/gpt-5-mini  replay  ok  .*\$0\.00 ", lines[2])
    assert lines[4].startswith("3 calls · spent $0.25")
    client.close()


def test_history_of_a_folder_without_calls(llm_magic, tmp_path):
    code, out, err = llm_magic("history", tmp_path)

    assert (code, out) == (1, "")
    assert err == f"llm-magic: {tmp_path} has no ledger: nothing was called there yet\n"
    assert not (tmp_path / ".llm_magic").exists()


@pytest.fixture
def calls():
    common = {"started": now(), "source": "live", "status": "ok", "provider": "openai"}
    history.default().record(**common, model="gpt", cost="0.25", tag="a")
    history.default().record(**common, model="own", cost=None)


def test_history_shows_the_calls_that_a_filter_picks(llm_magic, calls):
    code, out, _ = llm_magic("history", "--model", "openai/g*", "--since", "1h")

    assert (code, "openai/gpt" in out, "openai/own" in out) == (0, True, False)
    assert out.splitlines()[-1].startswith("1 calls · spent $0.25")


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_the_history_is_exported_in_the_format_of_the_ending(ending, llm_magic, calls, tmp_path):
    code, out, _ = llm_magic("history", "--export", tmp_path / f"a.{ending}", "--tag", "a")

    assert (code, out) == (0, f"{tmp_path}/a.{ending}: 1 call\n")
    assert "0.25" in (tmp_path / f"a.{ending}").read_text()


def test_an_export_to_another_format_is_one_line(llm_magic, calls):
    code, _, err = llm_magic("history", "--export", "a.xlsx")

    assert code == 1
    assert err == "llm-magic: a.xlsx: its ending says the format; use one of: csv, jsonl, parquet\n"


def test_costs_are_a_table_and_a_chart_in_characters(llm_magic, calls):
    code, out, _ = llm_magic("cost", "--by", "model")

    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[:4]] == [
        *("model", "openai/gpt", "openai/own", "all")
    ]
    assert "█\nspent per hour" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model", "gtp"], "no call has model 'gtp'; did you mean gpt?"),
        (["--since", "soon"], "'soon' is no time"),
        (["nowhere"], "has no ledger"),
    ],
)
def test_costs_that_cannot_be_told_are_one_line(arguments, told, llm_magic, calls):
    code, out, err = llm_magic("cost", *arguments)

    assert (code, out) == (1, "")
    assert told in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("number", [1, 300])
def test_a_reader_that_has_seen_enough_is_no_error(number, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    for _ in range(number):
        history.default().record(started=now(), status="ok", source="live", prompt="x" * 40)

    with subprocess.Popen(
        [sys.executable, "-m", "llm_magic", "history", "-n", "300"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


# cassette


def test_export_writes_and_import_reads(llm_magic, server, write, tmp_path):
    path = write("a.ipynb", LOAD, ASK)
    assert llm_magic("run", path)[0] == 0

    code, out, _ = llm_magic("cassette", "export", path)
    assert (code, out) == (0, "a.cassette.jsonl: 1 recording (1 new)\n")
    assert "nothing changed" in llm_magic("cassette", "export", path)[1]

    there = tmp_path / "there"
    there.mkdir()
    (there / "a.cassette.jsonl").write_bytes(path.with_name("a.cassette.jsonl").read_bytes())
    code, out, _ = llm_magic("cassette", "import", there / "a.ipynb")
    assert (code, out) == (0, "a.cassette.jsonl: 1 recording in the store\n")
    (there / "a.cassette.jsonl").unlink()
    assert Client(there, mode="REPLAY").complete("Why?", model="openai/gpt-5-mini").text


def test_export_adds_what_was_recorded_without_a_name_when_it_is_told_to(llm_magic, server, write):
    path = write("a.ipynb", LOAD, ASK)
    assert llm_magic("run", path)[0] == 0
    client = Client(path.parent, model="openai/gpt-5-mini")
    client.complete("From a script")
    client.close()

    assert llm_magic("cassette", "export", path)[1] == (
        "a.cassette.jsonl: 1 recording (1 new)\n"
        "1 recording made without a notebook's name; add with --unnamed\n"
    )
    assert llm_magic("cassette", "export", path, "--unnamed")[1] == (
        "a.cassette.jsonl: 2 recordings (1 new)\n"
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["export", "a.ipynb"], "nothing is recorded for a.ipynb; run it first"),
        (["export", "a.py"], "a.py is not a notebook; name the .ipynb file"),
        (["import", "a.ipynb"], "a.cassette.jsonl does not exist"),
        (["import", "a.cassette.jsonl"], "is not a notebook; name the .ipynb file"),
    ],
)
def test_cassettes_that_are_not_there(llm_magic, words, told):
    code, out, err = llm_magic("cassette", *words)

    assert (code, out) == (1, "")
    assert told in err
    assert err.count("\n") == 1


def test_a_cassette_with_a_conflict_is_told_in_one_line(llm_magic, tmp_path):
    (tmp_path / "work" / "a.cassette.jsonl").write_text("<<<<<<< HEAD\n")

    code, _, err = llm_magic("cassette", "import", tmp_path / "work" / "a.ipynb")

    assert code == 1
    assert "a conflict of git" in err
    assert err.count("\n") == 1


# As a module, and in a terminal


def test_python_m_llm_magic_is_the_command(run_python):
    done = run_python(
        "import runpy, sys; sys.argv = ['llm-magic', '--version'];"
        " runpy.run_module('llm_magic', run_name='__main__')"
    )

    assert (done.returncode, done.stdout) == (0, f"llm-magic {__version__}\n")


def test_a_terminal_shows_each_answer_once():
    typed = [
        "%load_ext llm_magic",
        "%complete -m echo/echo hello there?",
        "%%complete -m echo/echo",
        "What is",
        "a brick?",
        "",
        "",
        "%%complete -m echo/echo --modle x",
        "Why?",
        "",
        "",
        "%llm mode",
    ]

    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--colors=nocolor"],
        input="\n".join([*typed, "exit"]) + "\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    out = done.stdout + done.stderr
    assert done.returncode == 0
    assert out.count("hello there?") == 1
    assert out.count("> What is\n> a brick?\n\necho/echo · 4 + ") == 1
    assert out.count("What is") == 1
    assert out.count("did you mean --mode or --model") == 1
    assert "mode: FALLBACK (default)" in out
    assert "Traceback" not in out
    assert "\x1b" not in out


def test_ctrl_c_stops_the_run_with_one_line_and_keeps_what_ran(write):
    path = write("slow.ipynb", "print('first')", "import time\ntime.sleep(60)")
    command = [sys.executable, "-m", "llm_magic", "run", str(path), "--show", "-o", "out.ipynb"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as running:
        assert running.stdout.readline() == "first\n"

        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)

    assert running.returncode == 130
    assert errors.splitlines()[-1] == "llm-magic: stopped"
    assert "first" in (path.parent / "out.ipynb").read_text()


# Recordings


@pytest.fixture
def recorded(tmp_path):
    """Two saved recordings of a.ipynb, and one that is not."""
    client = Client(model="echo/echo")
    for prompt in ("Why?", "What?"):
        client.complete(prompt)
    client.shelf.adopt("a")
    client.shelf.save("a")
    client.complete("Who?")
    client.shelf.adopt("a")
    client.close()
    return tmp_path / "work" / "a.ipynb"


def test_recordings_are_listed_shown_and_compared(llm_magic, recorded):
    code, out, _ = llm_magic("cassette", "list", recorded)
    key = next(line.split()[0] for line in out.splitlines() if "Why?" in line)

    shown = llm_magic("cassette", "show", recorded, key)
    changes = llm_magic("cassette", "diff", recorded)

    assert code == 0
    assert out.endswith("3 recordings\n")
    assert "--- user\nWhy?" in shown[1]
    assert "new  " in changes[1]
    assert changes[1].endswith("export would change 1 recording of a.cassette.jsonl\n")


def test_forgetting_in_a_shell_shows_first(llm_magic, recorded):
    shown = llm_magic("forget", "--text", "Why?")
    before = llm_magic("cassette", "list", recorded)[1]
    done = llm_magic("forget", "--text", "Why?", "--yes", "--folder", recorded.parent)

    assert "nothing is removed yet" in shown[1]
    assert before.endswith("3 recordings\n")
    assert (done[0], "removed: 1 recording (a.cassette.jsonl)" in done[1]) == (0, True)
    assert llm_magic("cassette", "list", recorded)[1].endswith("2 recordings\n")
    assert b"Why?" not in recorded.with_name("a.cassette.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["cassette", "show", "a.ipynb", "ffff"], "nothing is recorded under a key"),
        (["cassette", "list", "a.txt"], "is not a notebook"),
        (["cassette", "list", "nowhere/a.ipynb"], "there is no folder nowhere"),
        (["cassette", "init", "nowhere/a.ipynb"], "there is no folder nowhere"),
        (["forget", "--cell", "nothing"], "nothing like that is recorded"),
        (["forget", "--text", "x", "--folder", "nowhere"], "there is no folder nowhere"),
    ],
)
def test_recordings_that_are_not_there(llm_magic, words, told):
    code, out, err = llm_magic(*words)

    assert (code, out) == (1, "")
    assert told in err
    assert err.count("\n") == 1


def test_init_lets_branches_that_recorded_different_things_merge(llm_magic, tmp_path):
    work = tmp_path / "work"
    path = work / "a.ipynb"

    def git(*words):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        subprocess.run(["git", *identity, *words], cwd=work, check=True, capture_output=True)

    def record(prompt):
        client = Client(work, model="echo/echo")
        client.complete(prompt)
        client.shelf.adopt("a")
        client.shelf.save("a")
        client.close()

    def commit(*prompts):
        for prompt in prompts:
            record(prompt)
        git("add", "a.cassette.jsonl", ".gitattributes")
        git("commit", "-qm", "more")

    path.touch()
    (work / ".gitattributes").write_text("*.png binary")
    first = llm_magic("cassette", "init", path)
    again = llm_magic("cassette", "init", work)
    git("init", "-q", "-b", "main")
    commit("Base?")
    git("checkout", "-qb", "theirs")
    commit("One?", "Two?")
    git("checkout", "-q", "main")
    shutil.rmtree(work / ".llm_magic")
    commit("Three?", "Four?")
    git("merge", "-q", "theirs", "-m", "both")
    shutil.rmtree(work / ".llm_magic")

    assert "*.cassette.jsonl text eol=lf merge=union" in first[1]
    assert "already" in again[1]
    assert (work / ".gitattributes").read_text().splitlines() == [
        "*.png binary",
        "*.cassette.jsonl text eol=lf merge=union",
    ]
    assert llm_magic("cassette", "list", path)[1].endswith("5 recordings\n")


def test_init_takes_the_folder_that_it_runs_in(llm_magic):
    code, out, _ = llm_magic("cassette", "init")

    assert (code, out.splitlines()[0]) == (
        0,
        ".gitattributes: *.cassette.jsonl text eol=lf merge=union",
    )
    assert Path(".gitattributes").read_text() == "*.cassette.jsonl text eol=lf merge=union\n"


def test_init_of_a_notebook_that_there_is_not_is_an_error(llm_magic):
    told = llm_magic("cassette", "init", "nothere.ipynb")

    assert told == (1, "", "llm-magic: there is no notebook nothere.ipynb\n")
    assert not Path(".gitattributes").exists()


@pytest.mark.parametrize("text", ["mine\n", None], ids=["a file", "nothing there"])
def test_init_writes_through_no_link(llm_magic, tmp_path, text):
    outside = tmp_path / "outside"
    if text is not None:
        outside.write_text(text)
    Path(".gitattributes").symlink_to(outside)

    code, out, err = llm_magic("cassette", "init", ".")

    assert (code, out) == (1, "")
    assert ".gitattributes is a symbolic link, which git ignores; make it a file" in err
    assert (outside.read_text() if outside.exists() else None) == text
