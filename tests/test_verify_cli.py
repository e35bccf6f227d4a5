"""``llm-magic verify`` as a person, a CI job or pre-commit runs it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest

from llm_magic.verify import KINDS, Report

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def write(tmp_path):
    """Write a notebook of these code cells, saved with what they print; returns its path."""

    def write(name, **printed):
        cells = [
            nbformat.v4.new_code_cell(code, outputs=[nbformat.v4.new_output("stream", text=text)])
            for code, text in printed.items()
        ]
        path = tmp_path / "work" / name
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
        return path

    return write


def test_a_finding_is_a_line_with_its_cell_and_a_diff_below_it(llm_magic, write):
    path = write("a.ipynb", **{"print(1)": "1\n", "print('<b>')": "<i>\n"})

    code, out, err = llm_magic("verify", path)

    assert (code, err) == (1, "")
    assert out.splitlines() == [
        "a.ipynb: not clean: cells: 1 same, 1 drifted · 0 calls replayed · no cassette",
        "  drifted   cell 2 of 2 (print('<b>')): it puts out something else than what is saved",
        "    --- saved",
        "    +++ replayed",
        "    @@ -1 +1 @@",
        "    -<i>",
        "    +<b>",
    ]


def test_what_is_allowed_is_told_and_does_not_count(llm_magic, write):
    path = write("a.ipynb", **{"print(1)": "2\n"})

    code, out, _ = llm_magic("verify", path, "--allow", "stale", "--allow", "drifted")

    assert code == 0
    assert out.startswith("a.ipynb: clean: cells: 1 drifted")
    assert "  (drifted) cell 1 of 1 (print(1)): it puts out" in out


def test_json_is_one_document_of_all_notebooks(llm_magic, write):
    clean = write("clean.ipynb", **{"print(1)": "1\n"})
    drifted = write("drifted.ipynb", **{"print(1)": "2\n"})
    missing = clean.with_name("missing.ipynb")

    code, out, err = llm_magic("verify", "--json", clean, missing, drifted)

    document = json.loads(out)
    assert code == 2
    assert err == f"llm-magic: there is no notebook {missing}\n"
    assert document.keys() == {"version", "exit_code", "errors", "reports"}
    assert (document["version"], document["exit_code"]) == (1, 2)
    message = f"there is no notebook {missing}"
    assert document["errors"] == [{"notebook": str(missing), "message": message}]
    assert [report["notebook"] for report in document["reports"]] == [str(clean), str(drifted)]
    (finding,) = document["reports"][1]["findings"]
    assert finding.keys() == {"kind", "message", "cell", "detail"}
    assert document["reports"][1]["cells"] == [
        {"number": 1, "id": document["reports"][1]["cells"][0]["id"]}
        | {"line": "print(1)", "status": "drifted"}
    ]
    assert [Report.from_dict(report).to_dict() for report in document["reports"]] == (
        document["reports"]
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "there is no notebook"),
        (b"not json", "is not a notebook"),
        (b"{}", "is not a notebook"),
    ],
)
def test_what_is_no_notebook_is_one_line_and_exit_code_2(llm_magic, tmp_path, content, told):
    path = tmp_path / "work" / "a.ipynb"
    if content is not None:
        path.write_bytes(content)

    code, out, err = llm_magic("verify", path)

    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"metadata": {"kernelspec": "python3"}},
        {"metadata": {"kernelspec": {"name": 5}}},
        {"cells": [{"cell_type": "code", "id": "a", "metadata": {}, "outputs": []}]},
        {"cells": [{**nbformat.v4.new_code_cell("1"), "outputs": [{"output_type": "nothing"}]}]},
        {"cells": [nbformat.v4.new_code_cell("'\ud800'")]},
    ],
)
def test_a_notebook_with_faults_is_one_line_and_exit_code_2(llm_magic, tmp_path, fault):
    path = tmp_path / "work" / "a.ipynb"
    path.write_text(json.dumps({**nbformat.v4.new_notebook(), **fault}))

    code, out, err = llm_magic("verify", path)

    assert (code, out) == (2, "")
    assert "is not a valid notebook" in err
    assert err.count("\n") == 1


def test_json_and_text_go_through_a_terminal_without_unicode(write, tmp_path, monkeypatch):
    path = write("ü.ipynb", **{"print('é')": "é\n"})
    command = [sys.executable, "-m", "llm_magic", "verify", str(path)]
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")

    told, document = (
        subprocess.run([*command, *more], capture_output=True, text=True, timeout=120, check=True)
        for more in ([], ["--json"])
    )

    assert "clean" in told.stdout
    assert json.loads(document.stdout)["reports"][0]["notebook"] == str(path)


def test_a_kernel_or_a_cassette_that_cannot_be_used_is_one_line_and_exit_code_2(llm_magic, write):
    path = write("a.ipynb", **{"print(1)": "1\n"})
    content = nbformat.read(path, as_version=4)
    content.metadata["kernelspec"] = {"name": "nope", "display_name": "Nope"}
    nbformat.write(content, path.with_name("kernel.ipynb"))
    path.with_name("a.cassette.jsonl").write_text("<<<<<<< HEAD\n")

    code, out, err = llm_magic("verify", path, path.with_name("kernel.ipynb"))

    assert (code, out) == (2, "")
    conflict, kernel = err.splitlines()
    assert "a conflict of git" in conflict
    assert kernel.startswith("llm-magic: there is no kernel nope, which kernel.ipynb asks for")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "the following arguments are required: NOTEBOOK"),
        (["a.ipynb", "--allow", "drift"], "did you mean drifted?"),
        (["a.ipynb", "--timeout", "0"], "a number of seconds above 0"),
    ],
)
def test_a_command_that_makes_no_sense_is_exit_code_2(llm_magic, words, told):
    code, _, err = llm_magic("verify", *words)

    assert code == 2
    assert told in err


def test_the_manual_names_every_kind_and_exit_code(llm_magic):
    code, out, _ = llm_magic("verify", "--help")

    assert code == 0
    for kind, meaning in KINDS.items():
        assert f"{kind}  " in out
        assert meaning in out
    assert "\nexit codes:\n  0  every notebook is clean\n  1  something" in out


def test_readme_names_the_exit_codes_and_every_kind():
    readme = (REPOSITORY / "README.md").read_text()

    assert [kind for kind in KINDS if f"`{kind}`" not in readme] == []
    assert "llm-magic verify" in readme


def test_ctrl_c_ends_the_kernel_and_leaves_nothing(write, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    fifo = tmp_path / "work" / "started"
    os.mkfifo(fifo)
    code = "import os, time\nprint(os.getpid(), file=open('started', 'w'), flush=True)\n"
    path = write("a.ipynb", **{f"{code}time.sleep(600)": ""})
    command = [sys.executable, "-m", "llm_magic", "verify", str(path)]

    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        kernel = int(fifo.read_text())
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)

    assert running.returncode == 130
    assert errors.splitlines()[-1] == "llm-magic: stopped"
    assert list(temporary.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(kernel, 0)


def test_a_clean_run_leaves_nothing_in_the_temporary_folder(
    llm_magic, write, tmp_path, monkeypatch
):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)

    assert llm_magic("verify", write("a.ipynb", **{"print(1)": "1\n"}))[0] == 0

    assert list(temporary.iterdir()) == []


# pre-commit


def test_the_pre_commit_hook_runs_a_command_that_there_is(write):
    text = (REPOSITORY / ".pre-commit-hooks.yaml").read_text()
    # A list of one mapping of plain words: what of YAML is needed here.
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    hook = dict(line.removeprefix("- ").strip().split(": ", 1) for line in lines)
    assert (hook["id"], hook["language"]) == ("llm-magic-verify", "python")
    assert hook["files"] == r"\.ipynb$"
    paths = [
        write(name, **{"print(1)": f"{text}\n"}) for name, text in (("a.ipynb", 1), ("b.ipynb", 2))
    ]
    command = [str(Path(sys.executable).parent / "llm-magic"), *shlex.split(hook["entry"])[1:]]

    done = subprocess.run([*command, *paths], capture_output=True, text=True, check=False)

    assert hook["entry"].split()[0] == "llm-magic"
    assert done.returncode == 1
    assert "a.ipynb: clean: " in done.stdout
    assert "b.ipynb: not clean: " in done.stdout
