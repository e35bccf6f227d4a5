"""Store and cassette after a pull, an edit, a loss: what replays, what is told, what a save writes.

One table for what happens between two people and git, and a test for each thing that does not fit
into its columns. How the shelf does it is tested in ``test_cassette.py``, folders that cannot be
written in ``test_durability.py``, where file modes hold for root too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pytest

from llm_magic import cli, history, packing
from llm_magic.cassette import Cassette, write
from llm_magic.client import Client
from llm_magic.exceptions import CassetteError, ReplayMissError
from llm_magic.recordings import Recording, key_of
from llm_magic.testing import FakeServer
from llm_magic.types import Request

NOTE = "analysis"
PATH = Path("analysis.cassette.jsonl")
Answers = Mapping[str, str]


class Desk:
    """A folder in which a notebook is worked on; everything goes through a client, as in a cell."""

    def __init__(self, server: FakeServer, folder: Path | str = ".") -> None:
        self._server = server
        self._folder = Path(folder)
        self.client = self._open()

    def _open(self) -> Client:
        return Client(self._folder, model="openai/gpt-5-mini", timeout=20)

    def restart(self) -> None:
        """Go on in another process."""
        self.client.close()
        self.client = self._open()

    def capture(self, answers: Answers) -> None:
        for question, answer in answers.items():
            self._server.reply(answer)
            self.client.complete(question, mode="CAPTURE")

    def replays(self, question: str) -> str | None:
        try:
            return self.client.complete(question, mode="REPLAY").text
        except ReplayMissError:
            return None

    def drop(self, question: str) -> None:
        assert self.client.shelf.drop(key_of(asked(question)), 0, NOTE)

    def save(self, notebook: str = NOTE) -> Answers:
        """Save; what stands in the cassette then."""
        self.client.shelf.save(notebook)
        return written(self._folder / f"{notebook}.cassette.jsonl")


def asked(question: str) -> Request:
    return Request("openai", "gpt-5-mini", [{"role": "user", "content": question}])


def written(path: Path = PATH) -> Answers:
    """Questions and answers of a cassette file."""
    if not path.exists():
        return {}
    found = [Recording.from_line(line) for line in Cassette(path).lines().values()]
    return {
        one.request["messages"][-1]["content"]: one.response.choices[0].message.content
        for one in found
    }


@pytest.fixture
def open_desk(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Desk]]:
    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", f"{NOTE}.ipynb")
    desks = []

    def make(folder: Path | str = ".") -> Desk:
        desks.append(Desk(server, folder))
        return desks[-1]

    yield make
    for desk in desks:
        desk.client.close()


@pytest.fixture
def desk(open_desk: Callable[..., Desk]) -> Desk:
    return open_desk()


@pytest.fixture
def pull(
    open_desk: Callable[..., Desk], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., None]:
    """Put a cassette here that somebody else saved, as git does: a new file of that name."""

    def put(answers: Answers, path: Path = PATH) -> None:
        folder = tmp_path_factory.mktemp("colleague")
        there = open_desk(folder)
        there.capture(answers)
        there.save()
        if not answers:
            # All of it was pruned: the header is left.
            write(folder / PATH, NOTE, {})
        os.replace(folder / PATH, path)

    return put


@dataclass(frozen=True)
class Case:
    """What was saved once, what happened here and there since, and what is seen then.

    Attributes
    ----------
    saved : dict
        Question and answer that both had.
    captured, dropped
        What was done here since, without saving it.
    pulled : dict or None
        All that the cassette holds after a pull; None when nobody pulled.
    lost : str
        ``cassette`` or ``store``, when it was deleted.
    replays : dict
        The answer to each question; None for a miss.
    told : str
        Of what the user is warned.
    saves : dict
        What the next save writes.
    """

    replays: Mapping[str, str | None]
    saves: Answers
    saved: Answers = field(default_factory=dict)
    captured: Answers = field(default_factory=dict)
    dropped: str = ""
    pulled: Answers | None = None
    lost: str = ""
    told: str = ""


CASES = {
    "nothing happened": Case(
        saved={"Why?": "old"},
        replays={"Why?": "old", "How?": None},
        saves={"Why?": "old"},
    ),
    "captured, not saved yet": Case(
        saved={"Why?": "old"},
        captured={"How?": "mine"},
        replays={"Why?": "old", "How?": "mine"},
        saves={"Why?": "old", "How?": "mine"},
    ),
    "captured over saved": Case(
        saved={"Why?": "old"},
        captured={"Why?": "mine"},
        replays={"Why?": "mine"},
        saves={"Why?": "mine"},
    ),
    "pull into an empty folder": Case(
        pulled={"Why?": "theirs"},
        replays={"Why?": "theirs"},
        saves={"Why?": "theirs"},
    ),
    "pull over saved": Case(
        saved={"Why?": "old", "How?": "old"},
        pulled={"Why?": "theirs", "How?": "old too", "Who?": "theirs"},
        replays={"Why?": "theirs", "How?": "old too", "Who?": "theirs"},
        saves={"Why?": "theirs", "How?": "old too", "Who?": "theirs"},
    ),
    "pull over unsaved": Case(
        captured={"Why?": "mine"},
        pulled={"Why?": "theirs"},
        replays={"Why?": "mine"},
        told="1 unsaved recording",
        saves={"Why?": "mine"},
    ),
    "both changed the same answer": Case(
        saved={"Why?": "old"},
        captured={"Why?": "mine"},
        pulled={"Why?": "theirs"},
        replays={"Why?": "mine"},
        told="1 unsaved recording",
        saves={"Why?": "mine"},
    ),
    "both changed, each another answer": Case(
        saved={"Why?": "old", "How?": "old"},
        captured={"Why?": "mine"},
        pulled={"How?": "theirs"},
        replays={"Why?": "mine", "How?": "theirs"},
        saves={"Why?": "mine", "How?": "theirs"},
    ),
    "both added": Case(
        saved={"Why?": "old"},
        captured={"Who?": "mine"},
        pulled={"Why?": "old too", "How?": "theirs"},
        replays={"Why?": "old too", "Who?": "mine", "How?": "theirs"},
        saves={"Why?": "old too", "Who?": "mine", "How?": "theirs"},
    ),
    "pruned there": Case(
        saved={"Why?": "old", "How?": "old"},
        pulled={"How?": "old too"},
        replays={"Why?": None, "How?": "old too"},
        saves={"How?": "old too"},
    ),
    "all pruned there": Case(
        saved={"Why?": "old"},
        pulled={},
        replays={"Why?": None},
        saves={},
    ),
    "pruned there, captured anew here": Case(
        saved={"Why?": "old"},
        captured={"Why?": "mine"},
        pulled={},
        replays={"Why?": "mine"},
        saves={"Why?": "mine"},
    ),
    "pruned here": Case(
        saved={"Why?": "old", "How?": "old"},
        dropped="Why?",
        replays={"Why?": None, "How?": "old"},
        saves={"How?": "old"},
    ),
    "pruned here, changed there": Case(
        saved={"Why?": "old"},
        dropped="Why?",
        pulled={"Why?": "theirs"},
        replays={"Why?": None},
        told="1 unsaved recording",
        saves={},
    ),
    "cassette deleted": Case(
        saved={"Why?": "old"},
        captured={"How?": "mine"},
        lost="cassette",
        replays={"Why?": "old", "How?": "mine"},
        saves={"Why?": "old", "How?": "mine"},
    ),
    "store deleted": Case(
        saved={"Why?": "old"},
        lost="store",
        replays={"Why?": "old"},
        saves={"Why?": "old"},
    ),
    "store deleted, with an unsaved answer in it": Case(
        saved={"Why?": "old"},
        captured={"Why?": "mine", "How?": "mine"},
        lost="store",
        replays={"Why?": "old", "How?": None},
        saves={"Why?": "old"},
    ),
}


@pytest.mark.parametrize("restarted", [False, True], ids=["same process", "new process"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_happened_here_and_there(
    case: Case, restarted: bool, desk: Desk, pull: Callable[..., None]
) -> None:
    desk.capture(case.saved)
    desk.save()
    desk.capture(case.captured)
    if case.dropped:
        desk.drop(case.dropped)
    if case.pulled is not None:
        pull(case.pulled)
    if restarted or case.lost == "store":
        desk.client.close()
    if case.lost:
        shutil.rmtree(".llm_magic") if case.lost == "store" else PATH.unlink()
    if restarted or case.lost == "store":
        desk.restart()

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        seen = {question: desk.replays(question) for question in case.replays}
        saved = desk.save()

    assert (seen, saved) == (case.replays, case.saves)
    assert [case.told in str(one.message) for one in told] == [True] * bool(case.told)
    assert {question: desk.replays(question) for question in case.replays} == case.replays


def test_a_save_after_a_save_changes_no_byte(desk: Desk, pull: Callable[..., None]) -> None:
    desk.capture({"Why?": "old"})
    desk.save()
    pull({"Why?": "theirs"})
    desk.replays("Why?")
    before = PATH.read_bytes()

    desk.save()

    assert PATH.read_bytes() == before


# What git leaves in the file


def git(*words: str, fails: bool = False) -> str:
    """Run git, as somebody who has set up nothing."""
    mail = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(
        ["git", *mail, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull},
    )
    assert (done.returncode != 0) == fails, done.stderr + done.stdout
    return done.stdout


@pytest.fixture
def branches(desk: Desk) -> Callable[..., None]:
    """Two branches, each with answers of its own captured and saved; ``main`` is checked out."""

    def make(ours: Answers, theirs: Answers, *, rule: bool) -> None:
        if rule:
            assert cli.main(["cassette", "init", "."]) == 0
        git("init", "-q", "-b", "main")
        commit({"Base?": "old"})
        git("checkout", "-qb", "theirs")
        commit(theirs)
        git("checkout", "-q", "main")
        # The other branch was written in another clone.
        desk.client.close()
        shutil.rmtree(".llm_magic")
        desk.restart()
        commit(ours)

    def commit(answers: Answers) -> None:
        desk.capture(answers)
        desk.save()
        git("add", ".")
        git("commit", "-qm", "more")

    return make


def test_branches_that_recorded_different_things_merge(
    branches: Callable[..., None], desk: Desk
) -> None:
    branches({"Why?": "mine"}, {"How?": "theirs", "Who?": "theirs"}, rule=True)
    before = Path(".gitattributes").read_text()

    git("merge", "-q", "theirs", "-m", "both")

    answers = {"Base?": "old", "Why?": "mine", "How?": "theirs", "Who?": "theirs"}
    assert {question: desk.replays(question) for question in answers} == answers
    assert desk.save() == answers
    assert before == Path(".gitattributes").read_text()


def test_two_answers_to_one_request_are_told_with_their_lines_and_one_is_chosen(
    branches: Callable[..., None], desk: Desk
) -> None:
    branches({"Why?": "mine"}, {"Why?": "theirs"}, rule=True)

    git("merge", "-q", "theirs", "-m", "both")

    lines = PATH.read_text().splitlines(keepends=True)
    numbers = [number for number, line in enumerate(lines, 1) if '"Why?"' in line]
    with pytest.raises(CassetteError, match="two answers to one request") as error:
        desk.replays("Base?")
    assert all(f":{number}" in str(error.value) for number in numbers)
    PATH.write_text("".join(line for line in lines if '"mine"' not in line))
    assert (desk.replays("Why?"), desk.replays("Base?")) == ("theirs", "old")


def test_conflict_markers_are_told_with_their_line_and_one_side_is_chosen(
    branches: Callable[..., None], desk: Desk
) -> None:
    branches({"Why?": "mine"}, {"Why?": "theirs"}, rule=False)

    git("merge", "-q", "theirs", fails=True)

    first = PATH.read_text().splitlines().index("<<<<<<< HEAD") + 1
    with pytest.raises(CassetteError, match=f":{first}: a conflict of git; keep the lines of one"):
        desk.replays("Why?")
    with pytest.raises(CassetteError):
        desk.save()
    assert "<<<<<<<" in PATH.read_text()
    git("checkout", "--theirs", str(PATH))
    assert (desk.replays("Why?"), desk.replays("Base?")) == ("theirs", "old")


def test_a_checkout_with_other_line_ends_replays_and_is_no_change_to_git(
    branches: Callable[..., None], desk: Desk
) -> None:
    branches({"Why?": "mine"}, {"How?": "theirs"}, rule=False)
    git("config", "core.autocrlf", "true")
    PATH.unlink()
    git("checkout", "-q", str(PATH))
    assert b"\r\n" in PATH.read_bytes()

    seen = desk.replays("Why?"), desk.replays("Base?")
    saves = desk.save()

    assert seen == ("mine", "old")
    assert saves == {"Why?": "mine", "Base?": "old"}
    assert git("diff", "--stat") == ""


# Notebooks of one folder, and their names


def test_notebooks_of_a_folder_keep_their_own_answers(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.capture({"Why?": "mine"})
    desk.save()

    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", "lecture.ipynb")
    desk.capture({"Why?": "another", "How?": "another"})

    assert desk.replays("Why?") == "another"
    assert desk.save("lecture") == {"Why?": "another", "How?": "another"}
    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", "analysis.ipynb")
    assert desk.replays("Why?") == "mine"
    assert written() == {"Why?": "mine"}


@pytest.mark.parametrize(("pulled", "replayed"), [("right", "right"), (None, None)])
def test_what_a_notebook_shares_is_what_the_other_one_has_now(
    desk: Desk,
    pull: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    pulled: str | None,
    replayed: str | None,
) -> None:
    desk.capture({"Why?": "wrong"})
    desk.save()
    pull({"Why?": pulled} if pulled else {})

    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", "beside.ipynb")

    assert desk.replays("Why?") == replayed


def test_with_the_name_unknown_a_closed_stream_hides_no_whole_answer_of_another_notebook(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with desk.client.stream("Why?") as stream:
        next(stream)
    desk.save()
    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", "beside.ipynb")
    desk.capture({"Why?": "whole"})
    desk.save("beside")
    monkeypatch.delenv("LLM_MAGIC_NOTEBOOK")
    desk.client.close()
    history.close()
    shutil.rmtree(".llm_magic")
    desk.restart()

    with pytest.warns(RuntimeWarning, match="beside is taken"):
        assert desk.replays("Why?") == "whole"


def test_with_the_name_unknown_every_cassette_replays_and_a_difference_is_told(
    desk: Desk, pull: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pull({"Why?": "one", "How?": "one"}, Path("one.cassette.jsonl"))
    pull({"Why?": "two", "Who?": "two"}, Path("two.cassette.jsonl"))
    monkeypatch.delenv("LLM_MAGIC_NOTEBOOK")

    with pytest.warns(RuntimeWarning, match="one is taken. Set LLM_MAGIC_NOTEBOOK"):
        assert desk.replays("Why?") == "one"

    assert (desk.replays("How?"), desk.replays("Who?")) == ("one", "two")
    assert desk.replays("When?") is None


def test_a_renamed_notebook_replays_and_its_cassette_is_written_anew(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.capture({"Why?": "mine"})
    desk.save()
    before = PATH.read_text()

    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", "renamed.ipynb")

    assert desk.replays("Why?") == "mine"
    assert desk.save("renamed") == {"Why?": "mine"}
    assert PATH.read_text() == before


def test_a_notebook_renamed_with_its_cassette_replays_and_the_header_follows(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.capture({"Why?": "mine"})
    desk.save()
    PATH.rename("renamed.cassette.jsonl")

    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", "renamed.ipynb")

    assert desk.replays("Why?") == "mine"
    assert desk.save("renamed") == {"Why?": "mine"}
    assert '"notebook":"renamed.ipynb"' in Path("renamed.cassette.jsonl").read_text()
    assert not PATH.exists()


# A notebook that is renamed while its kernel runs


@pytest.fixture
def saved(desk: Desk) -> Desk:
    """One answer that is saved, one that is not, one that was captured again since."""
    Path("analysis.ipynb").write_text("{}")
    desk.capture({"Why?": "saved", "When?": "old"})
    desk.save()
    desk.capture({"Who?": "unsaved", "When?": "new"})
    return desk


def rename_file() -> None:
    Path("analysis.ipynb").rename("renamed.ipynb")


def test_a_rename_moves_the_cassette_and_what_is_unsaved_stays_so(
    saved: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename_file()

    told = saved.client.shelf.rename(NOTE, "renamed")

    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", "renamed.ipynb")
    assert told == ""
    assert not PATH.exists()
    assert written(Path("renamed.cassette.jsonl")) == {"Why?": "saved", "When?": "old"}
    assert saved.client.shelf.status("renamed").unsaved == 2
    assert [saved.replays(question) for question in ("Why?", "When?", "Who?")] == [
        "saved",
        "new",
        "unsaved",
    ]
    assert list(saved.client.shelf.recordings.used_by(NOTE)) == []
    assert saved.save("renamed") == {"Why?": "saved", "When?": "new", "Who?": "unsaved"}


def test_a_rename_outlives_the_kernel(saved: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    rename_file()
    saved.client.shelf.rename(NOTE, "renamed")

    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", "renamed.ipynb")
    saved.restart()

    assert saved.client.shelf.status("renamed").unsaved == 2
    assert saved.save("renamed") == {"Why?": "saved", "When?": "new", "Who?": "unsaved"}


def test_what_was_dropped_stays_dropped_after_a_rename(
    saved: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved.drop("Why?")
    rename_file()

    saved.client.shelf.rename(NOTE, "renamed")

    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", "renamed.ipynb")
    assert saved.replays("Why?") is None
    assert "Why?" not in saved.save("renamed")


def test_a_notebook_saved_under_another_name_gets_a_copy(saved: Desk) -> None:
    Path("renamed.ipynb").write_text("{}")

    told = saved.client.shelf.rename(NOTE, "renamed")

    assert told == ""
    assert written() == {"Why?": "saved", "When?": "old"}
    assert saved.client.shelf.status("renamed").unsaved == 3
    assert saved.save("renamed") == {"Why?": "saved", "When?": "new", "Who?": "unsaved"}
    assert saved.save() == {"Why?": "saved", "When?": "new", "Who?": "unsaved"}


def test_a_cassette_of_the_new_name_is_kept_and_gets_what_it_lacks(
    saved: Desk, pull: Callable[..., None]
) -> None:
    target = Path("renamed.cassette.jsonl")
    pull({"Why?": "theirs"}, target)
    before = target.read_bytes()
    rename_file()

    told = saved.client.shelf.rename(NOTE, "renamed")

    assert told == (
        "renamed.cassette.jsonl was there already and keeps its answers; recordings of analysis"
        " that a save adds: 2, that differ and stay in analysis.cassette.jsonl: 1"
    )
    assert target.read_bytes() == before
    assert written() == {"Why?": "saved", "When?": "old"}
    assert saved.save("renamed") == {"Why?": "theirs", "When?": "new", "Who?": "unsaved"}


def test_an_answer_that_was_never_saved_counts_before_one_that_the_new_name_had(
    desk: Desk, pull: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("analysis.ipynb").write_text("{}")
    pull({"Why?": "theirs"}, Path("renamed.cassette.jsonl"))
    desk.capture({"Why?": "mine"})
    rename_file()

    told = desk.client.shelf.rename(NOTE, "renamed")

    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", "renamed.ipynb")
    assert told.endswith(
        "; recordings of analysis that were never saved and a save puts in the place of its own: 1"
    )
    assert desk.replays("Why?") == "mine"
    assert desk.save("renamed") == {"Why?": "mine"}


@pytest.mark.parametrize("left", ["unsaved", "saved", "saved before a pull"])
@pytest.mark.parametrize("old", ["unsaved", "saved"])
def test_what_a_deleted_notebook_left_in_the_store_gives_way_to_the_one_of_its_name_now(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, left: str, old: str
) -> None:
    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", "renamed.ipynb")
    desk.capture({"Why?": "left"})
    if left != "unsaved":
        desk.save("renamed")
    if left == "saved before a pull":
        write(Path("renamed.cassette.jsonl"), "renamed", {})
        assert desk.replays("Who?") is None
    Path("renamed.cassette.jsonl").unlink(missing_ok=True)
    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", "analysis.ipynb")
    Path("analysis.ipynb").write_text("{}")
    desk.capture({"Why?": "mine"})
    if old == "saved":
        desk.save()
    rename_file()

    desk.client.shelf.rename(NOTE, "renamed")

    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", "renamed.ipynb")
    assert desk.replays("Why?") == "mine"
    assert desk.save("renamed") == {"Why?": "mine"}
    desk.restart()
    assert desk.replays("Why?") == "mine"


def test_a_packed_notebook_takes_its_recordings_with_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbformat.write(nbformat.v4.new_notebook(), "analysis.ipynb")
    desk.capture({"Why?": "packed"})
    packing.pack(Path("analysis.ipynb"))
    desk.save()
    PATH.unlink()
    rename_file()

    told = desk.client.shelf.rename(NOTE, "renamed")

    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", "renamed.ipynb")
    assert told == ""
    assert desk.replays("Why?") == "packed"
    assert desk.client.shelf.status("renamed").unsaved == 0


def test_nothing_is_lost_when_the_old_cassette_cannot_be_read(saved: Desk) -> None:
    PATH.write_text("{")
    rename_file()

    with pytest.raises(CassetteError):
        saved.client.shelf.rename(NOTE, "renamed")

    assert PATH.read_text() == "{"
    assert not Path("renamed.cassette.jsonl").exists()
    assert len(list(saved.client.shelf.recordings.used_by(NOTE))) == 3
