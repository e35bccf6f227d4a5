"""What is forgotten stays so, whatever was damaged, repaired or killed before."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_magic import care, rescue
from llm_magic.cassette import unfinished
from llm_magic.client import Client
from llm_magic.config import Workspace
from llm_magic.exceptions import LLMMagicError
from llm_magic.forgetting import find_forgettable
from llm_magic.history import History
from llm_magic.shelf import Shelf
from llm_magic.storage import set_aside

SECRET = "the plan of the zebra"
WORKING = Path(".llm_magic")

Forget = Callable[[], list[str]]


@pytest.fixture
def forget() -> Forget:
    """Forget the secret in this folder, which is opened for it; what the user should know."""

    def forget() -> list[str]:
        here = Workspace(Path.cwd())
        shelf, ledger = Shelf(here), History(here)
        try:
            return find_forgettable(shelf, ledger, text=SECRET).do()
        finally:
            ledger.close()
            shelf.close()

    with_secret = Client(".", model="echo/echo")
    for prompt in (SECRET, "Why?"):
        with_secret.complete(prompt)
    with_secret.shelf.adopt("a")
    with_secret.close()
    with_secret.history.close()
    return forget


def holders() -> list[str]:
    """The files that hold the secret."""
    files = (path for path in Path().rglob("*") if path.is_file())
    return sorted(str(path) for path in files if SECRET.encode() in path.read_bytes())


@pytest.mark.parametrize("name", ["recordings", "history.db"])
def test_what_was_set_aside_is_repaired_first_so_that_nothing_comes_back(
    name: str, forget: Forget
) -> None:
    aside = set_aside(WORKING / name)

    with pytest.raises(LLMMagicError, match=rf"{aside.name}: .* cassette repair first"):
        forget()
    rescue.repair(Workspace(Path.cwd()))
    told = forget()
    rescue.repair(Workspace(Path.cwd()))

    assert any(aside.name in line and "delete them" in line for line in told)
    assert all(holder.startswith(str(aside)) for holder in holders())


def test_a_save_that_was_killed_leaves_a_file_that_the_next_one_removes(
    forget: Forget, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    code = (
        "import os, pathlib, signal\n"
        "from llm_magic.config import Workspace\n"
        "from llm_magic.shelf import Shelf\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Shelf(Workspace(pathlib.Path.cwd())).save('a')\n"
    )
    run_python(code)
    (left,) = unfinished(Path(), older_than=0)
    assert str(left) in holders()
    # Somebody may be writing it.
    assert unfinished(Path()) == []
    os.utime(left, (0, 0))
    found = [one for one in care.check(Workspace(Path.cwd())).findings if one.file == left.name]

    shelf = Shelf(Workspace(Path.cwd()))
    shelf.save("a")
    shelf.close()

    assert [(one.level, "the next one removes it" in one.text) for one in found] == [("note", True)]
    assert not left.exists()


def test_forgetting_removes_what_a_killed_save_left_and_names_what_may_be_written(
    forget: Forget,
) -> None:
    old, new = (Path(f".a.cassette.jsonl.{name}.llm-magic-writing") for name in ("old", "new"))
    for path in (old, new):
        path.write_text(SECRET)
    os.utime(old, (0, 0))

    told = forget()

    assert holders() == [str(new)]
    assert any(new.name in line for line in told)
    assert not any(old.name in line for line in told)


def test_a_save_is_no_failure_where_what_another_one_left_cannot_be_removed(
    forget: Forget, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = Path(".a.cassette.jsonl.theirs.llm-magic-writing")
    left.write_text("somebody else's")
    os.utime(left, (0, 0))

    def refused(path: Path, **_: object) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(Path, "unlink", refused)
    shelf = Shelf(Workspace(Path.cwd()))

    saved = shelf.save("a")

    shelf.close()
    assert (saved.added, left.exists(), saved.path.exists()) == (2, True, True)
