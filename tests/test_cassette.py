"""The cassette as a file for git, and how it and the working store follow each other."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import stat
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llm_magic.cassette import Cassette, write
from llm_magic.client import Client
from llm_magic.config import Workspace
from llm_magic.exceptions import CassetteError, StoreError
from llm_magic.recordings import Recording, key_of
from llm_magic.shelf import Shelf, Status
from llm_magic.types import AttrDict, Request

NOTE = "analysis"
PATH = Path("analysis.cassette.jsonl")
HEADER = '{"format":"llm-magic cassette","key_schema":1,"notebook":"analysis.ipynb","version":1}'


def asked(question: str) -> Request:
    return Request("echo", "echo", [{"role": "user", "content": question}])


def recording(question: str = "Why?", text: str = "Because.", ordinal: int = 0) -> Recording:
    message = {"role": "assistant", "content": text}
    return Recording(
        key=key_of(asked(question)),
        ordinal=ordinal,
        request=asked(question).to_dict(),
        response=AttrDict.from_json(json.dumps({"choices": [{"index": 0, "message": message}]})),
        call="0123456789abcdef",
        created=datetime(2026, 11, 20, tzinfo=UTC),
        latency_ms=1.0,
    )


@pytest.fixture
def open_shelf() -> Iterator[Callable[..., Shelf]]:
    """Open shelves as processes of their own would; all are closed at the end."""
    shelves = []

    def make(folder: str | Path = ".") -> Shelf:
        shelves.append(Shelf(Workspace(Path(folder).resolve())))
        return shelves[-1]

    yield make
    for shelf in shelves:
        shelf.close()


@pytest.fixture
def shelf(open_shelf: Callable[..., Shelf]) -> Shelf:
    return open_shelf()


def text(
    shelf: Shelf, question: str = "Why?", ordinal: int = 0, notebook: str | None = NOTE
) -> str | None:
    """What a notebook's request is answered with."""
    found = shelf.find(key_of(asked(question)), ordinal, notebook)
    return None if found is None else found.response.choices[0].message.content


def pull(*recordings: Recording, path: Path = PATH) -> None:
    """Put a cassette there, as a pull from git does."""
    path.unlink(missing_ok=True)
    lines = {(one.key, one.ordinal): one.to_line() for one in recordings}
    write(path, path.name.partition(".")[0], lines)


# The file


def test_a_cassette_is_a_header_and_sorted_lines(shelf: Shelf) -> None:
    ones = [recording(f"{number}?", ordinal=at) for number in range(5) for at in (10, 9)]
    for one in ones:
        shelf.put(one, NOTE)

    shelf.save(NOTE)

    header, *lines, rest = PATH.read_text().split("\n")
    ones.sort(key=lambda one: (one.key, one.ordinal))
    assert header == HEADER
    assert lines == [one.to_line() for one in ones]
    assert rest == ""


def test_saving_what_did_not_change_touches_nothing(
    shelf: Shelf, open_shelf: Callable[..., Shelf]
) -> None:
    shelf.put(recording(), NOTE)
    shelf.save(NOTE)
    before = PATH.read_bytes(), PATH.stat()

    assert "nothing changed" in str(shelf.save(NOTE))
    open_shelf().save(NOTE)

    assert PATH.read_bytes() == before[0]
    assert (PATH.stat().st_mtime_ns, PATH.stat().st_ino) == (
        before[1].st_mtime_ns,
        before[1].st_ino,
    )


def test_bytes_do_not_depend_on_who_writes_or_when(open_shelf: Callable[..., Shelf]) -> None:
    ones = [recording("1?", "é😀"), recording("2?", "\ud83d"), recording("3?", "\u2028\0")]
    for name, order in (("a", ones), ("b", ones[::-1])):
        Path(name).mkdir()
        shelf = open_shelf(name)
        for one in order:
            shelf.put(one, NOTE)
            if name == "b":
                shelf.save(NOTE)
        shelf.save(NOTE)

    assert (Path("a") / PATH).read_bytes() == (Path("b") / PATH).read_bytes()


def test_a_save_tells_what_it_did(shelf: Shelf) -> None:
    for number in range(3):
        shelf.put(recording(ordinal=number), NOTE)
    assert str(shelf.save(NOTE)) == "analysis.cassette.jsonl: 3 recordings (3 new)"

    shelf.put(recording(text="New."), NOTE)
    shelf.put(recording("What?"), NOTE)
    shelf.drop_from(recording().key, 2, NOTE)

    saved = shelf.save(NOTE)
    assert (saved.total, saved.added, saved.replaced, saved.removed) == (3, 1, 1, 1)
    assert str(saved).endswith("3 recordings (1 new, 1 replaced, 1 removed)")


def test_saving_nothing_makes_no_file(shelf: Shelf) -> None:
    assert shelf.save(NOTE).total == 0
    assert not PATH.exists()


def test_a_cassette_has_the_rights_of_any_file(shelf: Shelf) -> None:
    mask = os.umask(0o022)
    try:
        shelf.put(recording(), NOTE)
        shelf.save(NOTE)
        assert stat.S_IMODE(PATH.stat().st_mode) == 0o644
        PATH.chmod(0o640)
        shelf.put(recording("What?"), NOTE)
        shelf.save(NOTE)
    finally:
        os.umask(mask)

    assert stat.S_IMODE(PATH.stat().st_mode) == 0o640
    assert not [name for name in os.listdir() if name.startswith(".analysis")]


def test_a_cassette_that_cannot_be_written_is_an_error_and_loses_nothing(shelf: Shelf) -> None:
    shelf.put(recording(), NOTE)
    PATH.mkdir()

    with pytest.raises(CassetteError, match="cannot be"):
        shelf.save(NOTE)

    PATH.rmdir()
    assert shelf.status(NOTE).unsaved == 1
    assert shelf.save(NOTE).added == 1


ONE, OTHER = recording().to_line(), recording(text="Other.").to_line()
PARSED = json.loads(ONE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ":1 is not the header"),
        ("\n\n", ":1 is not the header"),
        (f"\n{HEADER}\n", ":1 is not the header"),
        (f"{ONE}\n", ":1 is not the header"),
        ('{"format":"another"}', ":1 is not the header"),
        ("not JSON", ":1 is not JSON"),
        (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9\n",
            " is a pointer of git lfs, not the cassette; git lfs pull fetches it",
        ),
        ("[]", ":1 is not a recording"),
        (HEADER.replace('"version":1', '"version":2'), ":1 was written by a newer llm-magic"),
        (HEADER.replace('"key_schema":1', '"key_schema":2'), ":1 was written by a newer"),
        (f"<<<<<<< HEAD\n{HEADER}", ":1: a conflict of git"),
        (f"{HEADER}\n<<<<<<< HEAD\n{ONE}\n=======\n{OTHER}\n>>>>>>> b", ":2: a conflict of git"),
        (f"{HEADER}\n{ONE}\n=======\n", ":3: a conflict of git"),
        (f"{HEADER}\n{ONE}\n||||||| base\n", ":3: a conflict of git"),
        (f"{HEADER}\n{ONE}\n\n{OTHER}\n", ":2 and :4 hold two answers to one request"),
        (f"{HEADER}\n\n{ONE[:40]}\n", ":3 is not JSON"),
        (f"{HEADER}\n[]\n", ":2 is not a recording"),
        (f'{HEADER}\n{{"a": 1}}\n', ":2 is not a recording: no key"),
        (f'{HEADER}\n{{"key": "a", "ordinal": "b"}}\n', ":2 is not a recording: no key"),
    ],
)
def test_a_file_that_is_no_cassette_is_an_error_that_names_the_line(
    content: str, message: str, shelf: Shelf
) -> None:
    PATH.write_text(content)

    with pytest.raises(CassetteError) as refusal:
        Cassette(PATH)
    assert f"{PATH}{message}" in str(refusal.value)

    for use in (text, lambda one: one.save(NOTE), lambda one: one.status(NOTE)):
        with pytest.raises(CassetteError):
            use(shelf)
    assert PATH.read_text() == content


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (ONE.replace("Why?", "Why not?"), ":3: the recording .* does not answer the request"),
        (ONE.replace('"model":"echo"', '"model":"other"'), ":3: .*does not answer the request"),
        (ONE.replace('"call":', '"cull":'), ":3: "),
        (ONE.replace('"choices":[', '"choices":3,"x":['), ":3: "),
        (ONE.replace('"2026', '"Monday'), ":3: "),
        (ONE[:-3], ":3: "),
        (ONE.replace('"request":', '"key":"a","request":'), ":3: "),
        (ONE.replace('"request":', f'"key":"{"0" * 64}","request":'), ":3: "),
    ],
)
def test_an_edited_record_is_refused_when_it_is_used(line: str, message: str, shelf: Shelf) -> None:
    good = recording("What?")
    PATH.write_text("\n".join([HEADER, good.to_line(), line, ""]))

    with pytest.raises(CassetteError, match=rf"analysis\.cassette\.jsonl{message}"):
        text(shelf)

    assert text(shelf, "What?") == "Because."
    assert shelf.store.get(f"answer:{recording().key}:00000000") is None


def test_an_answer_may_be_edited(shelf: Shelf) -> None:
    PATH.write_text(f"{HEADER}\n{ONE.replace('Because.', 'Edited.')}\n")

    assert text(shelf) == "Edited."


def test_bytes_that_are_no_text_are_an_error_that_names_the_line(shelf: Shelf) -> None:
    PATH.write_bytes(f"{HEADER}\n{ONE}\n".encode().replace(b"Because", b"\xff"))

    with pytest.raises(CassetteError, match=":2 is not UTF-8"):
        text(shelf)
    shelf.put(recording("What?"), NOTE)
    with pytest.raises(CassetteError, match=":2 is not UTF-8"):
        shelf.save(NOTE)


@pytest.mark.parametrize("end", ["\r\n", "\n\n", "\n"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_line_ends_of_other_systems_are_read(
    end: str, last: bool, start: str, shelf: Shelf
) -> None:
    lines = [HEADER, ONE, ONE, recording("What?").to_line()]
    PATH.write_bytes((start + end.join(lines) + end * last).encode())

    assert text(shelf) == text(shelf, "What?") == "Because."
    assert shelf.status(NOTE).in_cassette == 2


def test_a_line_written_by_another_program_is_read(shelf: Shelf) -> None:
    reordered = dict(reversed(json.loads(ONE).items()))
    PATH.write_text(f"{HEADER}\n{json.dumps(reordered)}\n")

    assert text(shelf) == "Because."


def test_a_text_that_looks_like_a_place_is_none(shelf: Shelf) -> None:
    trap = f'{{"key":"{"0" * 64}","latency_ms":1.0,"ordinal":7,'
    pull(recording(text=trap), recording(trap))

    assert text(shelf) == trap
    assert text(shelf, trap) == "Because."


# Store and cassette


def test_an_answer_is_unsaved_until_it_is_saved(shelf: Shelf) -> None:
    shelf.put(recording(), NOTE)
    assert shelf.status(NOTE) == Status(shelf.cassette_path(NOTE), 0, 1, 0)

    shelf.save(NOTE)
    assert shelf.status(NOTE) == Status(shelf.cassette_path(NOTE), 1, 0, 0)

    shelf.put(recording(text="New."), NOTE)
    shelf.put(recording(), None)
    assert shelf.status(NOTE) == Status(shelf.cassette_path(NOTE), 1, 1, 1)
    assert shelf.status(None) == Status(None, 0, 0, 1)


def test_pulled_answers_replace_saved_ones(shelf: Shelf) -> None:
    shelf.put(recording(text="Old."), NOTE)
    shelf.save(NOTE)

    pull(recording(text="Pulled."))

    assert text(shelf) == "Pulled."
    assert shelf.status(NOTE).unsaved == 0


def test_unsaved_answers_stay_win_and_are_reported(shelf: Shelf) -> None:
    shelf.put(recording(text="Old."), NOTE)
    shelf.put(recording("Same?"), NOTE)
    shelf.save(NOTE)
    shelf.put(recording(text="Mine."), NOTE)
    shelf.put(recording("Same?"), NOTE)

    pull(recording(text="Pulled."), recording("Same?"), recording("More?"))

    with pytest.warns(RuntimeWarning, match="1 unsaved recordings differ"):
        shelf.status(NOTE)
    assert text(shelf) == "Mine."
    assert text(shelf, "More?") == "Because."
    assert shelf.save(NOTE).replaced == 1
    assert "Mine." in PATH.read_text()
    assert "More?" in PATH.read_text()


def test_what_was_pruned_there_is_gone_here(shelf: Shelf) -> None:
    shelf.put(recording(), NOTE)
    shelf.put(recording("What?"), NOTE)
    shelf.save(NOTE)

    pull(recording("What?"))

    assert text(shelf) is None
    assert text(shelf, "What?") == "Because."
    assert shelf.save(NOTE).total == 1


def test_an_empty_file_prunes_nothing(shelf: Shelf) -> None:
    shelf.put(recording(), NOTE)
    shelf.save(NOTE)
    content = PATH.read_bytes()
    PATH.write_bytes(b"")

    with pytest.raises(CassetteError):
        text(shelf)

    PATH.write_bytes(content)
    assert text(shelf) == "Because."


def test_what_was_dropped_here_is_gone_there_after_the_save(
    shelf: Shelf, open_shelf: Callable[..., Shelf]
) -> None:
    for ordinal in range(5):
        shelf.put(recording(ordinal=ordinal), NOTE)
    shelf.save(NOTE)
    shelf.put(recording(ordinal=5), NOTE)

    assert shelf.drop_from(recording().key, 2, NOTE) == 4
    assert shelf.drop_from(recording().key, 2, NOTE) == 0

    assert [text(shelf, ordinal=at) for at in range(6)] == ["Because."] * 2 + [None] * 4
    assert [text(open_shelf(), ordinal=at, notebook=None) for at in (1, 2)] == ["Because.", None]
    assert shelf.save(NOTE).removed == 3
    assert len(Cassette(PATH)) == 2
    assert shelf.status(NOTE).unsaved == 0


def test_a_deleted_cassette_is_written_again_with_everything(
    shelf: Shelf, open_shelf: Callable[..., Shelf]
) -> None:
    shelf.put(recording(), NOTE)
    shelf.put(recording("What?"), NOTE)
    shelf.save(NOTE)
    content = PATH.read_bytes()
    PATH.unlink()

    assert text(shelf) == text(open_shelf(), "What?") == "Because."
    open_shelf().save(NOTE)

    assert PATH.read_bytes() == content


def test_a_deleted_store_is_filled_from_the_cassette(open_shelf: Callable[..., Shelf]) -> None:
    first = open_shelf()
    first.put(recording(), NOTE)
    first.put(recording("What?"), NOTE)
    first.save(NOTE)
    first.close()
    shutil.rmtree(".llm_magic")

    shelf = open_shelf()

    assert shelf.load(NOTE) == 2
    assert text(shelf) == "Because."
    assert shelf.status(NOTE).unsaved == 0


def test_loading_a_cassette_that_is_not_there_is_an_error(shelf: Shelf) -> None:
    with pytest.raises(CassetteError, match="does not exist"):
        shelf.load(NOTE)


def test_two_notebooks_replay_their_own_answers(shelf: Shelf) -> None:
    shelf.put(recording(text="One."), "one")
    shelf.put(recording(text="Two."), "two")
    shelf.save("one")
    shelf.save("two")

    assert (text(shelf, notebook="one"), text(shelf, notebook="two")) == ("One.", "Two.")
    shelf.put(recording(text="New."), "one")
    assert (text(shelf, notebook="one"), text(shelf, notebook="two")) == ("New.", "Two.")
    assert "Two." in Path("two.cassette.jsonl").read_text()


def test_two_cloned_notebooks_replay_their_own_answers(shelf: Shelf) -> None:
    pull(recording(text="One."), path=Path("one.cassette.jsonl"))
    pull(recording(text="Two."), path=Path("two.cassette.jsonl"))

    seen = [text(shelf, notebook=name) for name in ("one", "two", "one")]

    assert seen == ["One.", "Two.", "One."]


def test_with_the_notebook_unknown_every_cassette_is_looked_up(shelf: Shelf) -> None:
    pull(recording("1?"), path=Path("one.cassette.jsonl"))
    pull(recording("2?"), path=Path("two.cassette.jsonl"))

    assert text(shelf, "1?", notebook=None) == text(shelf, "2?", notebook=None) == "Because."
    assert text(shelf, "3?", notebook=None) is None
    assert shelf.notebooks() == ["one", "two"]


def test_with_the_notebook_unknown_its_unsaved_answers_are_not_lost(shelf: Shelf) -> None:
    shelf.put(recording(text="Old."), NOTE)
    shelf.save(NOTE)
    shelf.put(recording(text="New."), NOTE)

    assert text(shelf, notebook=None) == "New."

    assert text(shelf) == "New."
    assert shelf.status(NOTE).unsaved == 1


def test_a_renamed_notebook_takes_its_answers_along(shelf: Shelf) -> None:
    shelf.put(recording(), NOTE)
    shelf.save(NOTE)

    assert text(shelf, notebook="renamed") == "Because."

    assert shelf.save("renamed").total == 1
    assert Path("renamed.cassette.jsonl").read_text() == PATH.read_text().replace(
        '"notebook":"analysis.ipynb"', '"notebook":"renamed.ipynb"'
    )


def test_answers_without_a_notebook_are_given_to_it(shelf: Shelf) -> None:
    shelf.put(recording(), None)
    shelf.put(recording("What?", "Mine."), NOTE)
    shelf.put(recording("What?", "Nobody's."), None)

    assert shelf.adopt(NOTE) == 1

    assert shelf.status(NOTE).unsaved == 2
    assert shelf.status(None).unnamed == 0
    assert text(shelf, "What?") == "Mine."
    assert shelf.adopt(NOTE) == 0


def test_what_a_process_used_is_given_to_the_notebook(shelf: Shelf) -> None:
    shelf.put(recording(), "other")
    shelf.put(recording("What?"), "other")
    text(shelf, notebook=None)
    shelf.used -= {(recording("What?").key, 0)}

    assert shelf.adopt(NOTE, shelf.used) == 1

    assert shelf.status(NOTE).unsaved == 1
    assert shelf.status("other").unsaved == 2


# Several at the same time


def test_two_processes_see_each_others_saves_and_pulls(open_shelf: Callable[..., Shelf]) -> None:
    one, two = open_shelf(), open_shelf()
    one.put(recording(text="First."), NOTE)
    one.save(NOTE)
    assert text(two) == "First."

    two.put(recording("What?"), NOTE)
    two.save(NOTE)
    assert (text(one, "What?"), text(one)) == ("Because.", "First.")

    for number, first, second in ((1, two, one), (2, one, two), (3, two, one)):
        pull(recording(text=f"Pulled {number}."))
        assert text(first) == f"Pulled {number}."
        assert text(second) == f"Pulled {number}."


def test_saves_at_the_same_time_lose_nothing(open_shelf: Callable[..., Shelf]) -> None:
    shelves = [open_shelf() for _ in range(3)]

    def work(turn: int) -> None:
        shelf = shelves[turn % 3]
        shelf.put(recording(f"{turn}?"), NOTE)
        shelf.save(NOTE)

    with warnings.catch_warnings(), ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(30)))

    assert len(Cassette(PATH)) == 30
    assert all(shelf.status(NOTE).unsaved == 0 for shelf in shelves)


def test_processes_that_save_at_the_same_time_lose_nothing(shelf: Shelf) -> None:
    code = (
        "import sys; from llm_magic import client\n"
        "mine = client.default(); print(flush=True); sys.stdin.readline()\n"
        "for turn in range(8):\n"
        "    mine.complete(f'{sys.argv[1]} {turn}?', model='echo/echo')\n"
        "    mine.shelf.save('analysis')\n"
    )
    environment = {**os.environ, "LLM_MAGIC_NOTEBOOK": str(Path("analysis.ipynb").resolve())}
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for name in ("one", "two", "three")
    ]
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()

    errors = [process.communicate("\n", timeout=60)[1] for process in running]

    assert errors == [""] * 3
    assert len(Cassette(PATH)) == 24
    assert shelf.status(NOTE).unsaved == 0


def test_a_client_replays_what_another_saved(tmp_path: Path) -> None:
    Path("there").mkdir()
    first = Client(".", model="echo/echo")
    answer = first.complete("Why?")
    first.shelf.adopt(NOTE)
    first.shelf.save(NOTE)
    shutil.copy(PATH, "there")

    second = Client("there", model="echo/echo", mode="REPLAY")

    assert second.complete("Why?").text == answer.text
    first.close()
    second.close()


# What stands in the store


@pytest.mark.parametrize(
    "row", ["5\n{}", '[["analysis",null]]\n{}', '[["analysis",null]]\n[]', '[["other",null]]\nx']
)
def test_a_row_that_is_not_ours_is_a_typed_error(row: str, shelf: Shelf) -> None:
    shelf.store.set(f"answer:{recording().key}:00000000", row)

    with pytest.raises(StoreError, match="not one of ours"):
        text(shelf)


STEPS = ["put", "save", "pull", "drop", "delete cassette", "other saves"]


@pytest.mark.parametrize("steps", list(itertools.permutations(STEPS, 3)), ids="-".join)
def test_after_any_steps_a_save_writes_what_is_seen(
    steps: tuple[str, ...], open_shelf: Callable[..., Shelf]
) -> None:
    """Whatever happened: what a notebook replays is what stands in its cassette after a save."""
    shelf, other = open_shelf(), open_shelf()
    shelf.put(recording(text="Start."), NOTE)
    shelf.save(NOTE)
    actions: dict[str, Callable[[], Any]] = {
        "put": lambda: shelf.put(recording(text="Put."), NOTE),
        "save": lambda: shelf.save(NOTE),
        "pull": lambda: pull(recording(text="Pulled."), recording("More?")),
        "drop": lambda: shelf.drop_from(recording().key, 0, NOTE),
        "delete cassette": lambda: PATH.unlink(missing_ok=True),
        "other saves": lambda: (other.put(recording("Other?"), NOTE), other.save(NOTE)),
    }

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for step in steps:
            actions[step]()
        questions = ["Why?", "More?", "Other?"]
        seen = [text(shelf, question) for question in questions]
        shelf.save(NOTE)

    assert [text(shelf, question) for question in questions] == seen
    assert [text(open_shelf(), question) for question in questions] == seen
    shutil.rmtree(".llm_magic")
    assert [text(open_shelf(), question) for question in questions] == seen


# Large files, comparing, forgetting


def test_a_large_cassette_gives_advice_that_names_the_largest(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_magic.shelf.LARGE", 3000)
    shelf.put(recording("1?", "x" * 2500), NOTE)
    small = shelf.save(NOTE)
    shelf.put(recording("2?", "x" * 500), NOTE)

    large = shelf.save(NOTE)

    assert small.advice == ""
    assert "git hosts refuse files above 100 MB" in str(large)
    assert f"recordings: {key_of(asked('1?'))[:12]} (2.9 kB), " in str(large)
    assert PATH.stat().st_size > 3000


def test_a_save_tells_of_a_file_that_it_writes_anew_for_its_name_alone(shelf: Shelf) -> None:
    shelf.put(recording(), NOTE)
    shelf.save(NOTE)
    PATH.write_text(PATH.read_text().replace("analysis.ipynb", "before.ipynb"))

    told = [str(shelf.save(NOTE)) for _ in range(2)]

    assert told == [
        f"{PATH}: 1 recording (the same, written anew)",
        f"{PATH}: 1 recording (nothing changed)",
    ]
    assert PATH.read_text().startswith(HEADER)


def test_contents_are_what_is_saved_and_what_would_be(shelf: Shelf) -> None:
    for question in ("stays", "goes", "changes"):
        shelf.put(recording(question), NOTE)
    shelf.save(NOTE)
    before = Cassette(PATH).lines()
    shelf.drop(key_of(asked("goes")), 0, NOTE)
    shelf.put(recording("changes", "Else."), NOTE)
    shelf.put(recording("comes"), NOTE)

    saved, after = shelf.contents(NOTE)

    assert saved == before
    shelf.save(NOTE)
    assert after == Cassette(PATH).lines()


def test_forgetting_removes_a_key_of_every_notebook_and_from_the_files(
    shelf: Shelf, open_shelf: Callable[..., Shelf]
) -> None:
    secret = "an answer that nobody may read"
    for notebook in (NOTE, "lecture", "unsaved", None):
        shelf.put(recording("Why?", secret), notebook)
        shelf.put(recording("Why?", secret, ordinal=1), notebook)
        shelf.put(recording("What?"), notebook)
    shelf.save(NOTE)
    shelf.save("lecture")

    changed = shelf.forget({key_of(asked("Why?"))})

    assert changed == [shelf.cassette_path(NOTE), shelf.cassette_path("lecture")]
    other = open_shelf()
    for notebook in (NOTE, "lecture", "unsaved", None):
        assert text(other, notebook=notebook) is None
        assert text(other, "What?", notebook=notebook) == "Because."
    shelf.close()
    other.close()
    for path in (path for path in Path().rglob("*") if path.is_file()):
        assert secret.encode() not in path.read_bytes(), path


def test_nothing_is_forgotten_when_a_cassette_cannot_be_read(shelf: Shelf) -> None:
    shelf.put(recording(), NOTE)
    shelf.save(NOTE)
    Path("other.cassette.jsonl").write_text("<<<<<<< ours\n")

    with pytest.raises(CassetteError, match="conflict"):
        shelf.forget({recording().key})

    assert text(shelf) == "Because."
    assert len(Cassette(PATH)) == 1
