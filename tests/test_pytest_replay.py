"""``pytest --llm-replay``: notebooks as tests, and nothing at all without the option."""

from __future__ import annotations

import subprocess
import sys

import nbformat
import pytest

from llm_magic.client import Client


@pytest.fixture
def write(tmp_path):
    """Write a notebook that prints 1, saved with this output, with a cassette or without."""

    def write(name, saved, *, cassette=True):
        output = nbformat.v4.new_output("stream", text=saved)
        code = "import llm_magic\nprint(llm_magic.complete('Why?', model='echo/echo') and 1)"
        if not cassette:
            code = "print(1)"
        cells = [nbformat.v4.new_code_cell(code, outputs=[output])]
        path = tmp_path / "work" / name
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
        if cassette:
            client = Client(path.parent, model="echo/echo", mode="CAPTURE")
            client.complete("Why?")
            client.shelf.adopt(path.stem)
            client.shelf.save(path.stem)
            client.close()
        return path

    return write


def run_pytest(*words):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_notebooks_with_a_cassette_are_found_and_fail_with_the_report(write):
    write("clean.ipynb", "1\n")
    write("drifted.ipynb", "2\n")
    write("without.ipynb", "2\n", cassette=False)

    done = run_pytest("--llm-replay")

    assert done.returncode == 1
    assert done.stdout.rstrip().splitlines()[-1].startswith("1 failed, 1 passed")
    assert (
        "drifted.ipynb: not clean: cells: 1 drifted · 1 call replayed · 1 recording" in done.stdout
    )
    assert "\n    -2\n    +1\n" in done.stdout
    assert "FAILED drifted.ipynb::replay" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_notebook_that_is_named_needs_no_cassette_and_kinds_can_be_allowed(write):
    path = write("without.ipynb", "2\n", cassette=False)

    strict = run_pytest("--llm-replay", path)
    allowed = run_pytest("--llm-replay", "--llm-replay-allow", "drifted", path)

    assert (strict.returncode, allowed.returncode) == (1, 0)


def test_what_cannot_be_verified_is_one_line(write):
    path = write("broken.ipynb", "1\n")
    path.write_text("no notebook")

    done = run_pytest("--llm-replay")

    assert done.returncode == 1
    assert "broken.ipynb is not a notebook: " in done.stdout
    assert "runtest" not in done.stdout


def test_a_kind_that_there_is_not_is_told_before_anything_runs(write):
    done = run_pytest("--llm-replay", "--llm-replay-allow", "drift")

    assert done.returncode == 4
    assert "--llm-replay-allow drift: did you mean drifted?" in done.stderr


def test_without_the_option_no_notebook_is_collected_and_nothing_is_imported(write, tmp_path):
    write("a.ipynb", "2\n")
    (tmp_path / "work" / "test_imports.py").write_text(
        "import sys\n"
        "def test_imports():\n"
        "    heavy = {'llm_magic.verify', 'llm_magic.config', 'nbformat', 'nbclient'}\n"
        "    assert not heavy & sys.modules.keys()\n"
        "    assert 'llm_magic.pytest_replay' in sys.modules\n"
    )

    done = run_pytest()

    assert done.stdout.rstrip().splitlines()[-1].startswith("1 passed"), done.stdout


@pytest.mark.parametrize("seconds", ["-1", "0", "nan", "inf"])
def test_what_is_no_time_is_refused_before_a_test_runs(seconds):
    done = run_pytest("--llm-replay", f"--llm-replay-timeout={seconds}")

    assert done.returncode == 4
    assert "a number of seconds above 0" in done.stderr
