"""What ``make demo`` runs, and the notebooks that come with the project, away from any network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

OFFLINE = Path(__file__).with_name("offline")
NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


@pytest.fixture
def offline(monkeypatch):
    """Processes that the test starts reach nothing but this machine; there is no key."""
    assert not [name for name in os.environ if name.endswith("_API_KEY")]
    monkeypatch.setenv("PYTHONPATH", str(OFFLINE))


def run(*words, **options):
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
        **options,
    )


def test_the_network_is_shut_for_processes(offline):
    reach = "import socket; socket.create_connection(('192.0.2.1', 443), timeout=5)"
    look_up = "import socket; socket.getaddrinfo('api.openai.com', 443)"

    for code in (reach, look_up):
        assert "PermissionError: offline: " in run("-c", code).stderr


def test_the_demo_replays_everything_for_nothing(offline):
    done = run(NOTEBOOKS / "demo.py")

    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith("replayed 100 % of ")
    assert last.endswith("$0.00")
    assert done.stderr == ""


def test_the_demo_leaves_the_notebooks_as_they_are(offline):
    before = {path: path.read_bytes() for path in NOTEBOOKS.iterdir() if path.is_file()}

    assert run(NOTEBOOKS / "demo.py").returncode == 0

    assert {path: path.read_bytes() for path in NOTEBOOKS.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("notebook", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_each_notebook_replays_from_its_cassette(notebook, offline, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    shutil.copy(notebook, folder)
    shutil.copy(notebook.with_name(f"{notebook.stem}.cassette.jsonl"), folder)

    done = run("-m", "llm_magic", "run", notebook.name, "--mode", "REPLAY", cwd=folder)

    assert done.returncode == 0, done.stdout + done.stderr
    assert " (100 %) " in done.stdout
    assert "$0.00" in done.stdout


def test_there_are_notebooks():
    assert list(NOTEBOOKS.glob("*.ipynb"))
