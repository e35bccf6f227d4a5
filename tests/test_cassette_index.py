"""The side index of a large cassette: lines are read one by one, and only those that are needed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_magic import cassette, cassette_index
from llm_magic.cassette import Cassette
from llm_magic.config import Workspace
from llm_magic.exceptions import CassetteError
from llm_magic.recordings import Recording, key_of
from llm_magic.shelf import Shelf
from llm_magic.types import AttrDict, Request

PATH = Path("analysis.cassette.jsonl")


def recording(number: int, text: str = "Because.", ordinal: int = 0) -> Recording:
    request = Request("echo", "echo", [{"role": "user", "content": f"Why {number}?"}])
    answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}
    return Recording(
        key=key_of(request),
        ordinal=ordinal,
        request=request.to_dict(),
        response=AttrDict.from_json(json.dumps(answer)),
        call="0123456789abcdef",
        created=datetime(2026, 11, 20, tzinfo=UTC),
        latency_ms=1.0,
    )


def pull(*recordings: Recording) -> None:
    lines = {(one.key, one.ordinal): one.to_line() for one in recordings}
    PATH.unlink(missing_ok=True)
    cassette.write(PATH, "analysis", lines)


def text(shelf: Shelf, number: int) -> str | None:
    found = shelf.find(recording(number).key, 0, "analysis")
    return None if found is None else found.response.choices[0].message.content


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few recordings are as good as 50,000: each of them gets an index, with many buckets."""
    monkeypatch.setattr(cassette_index, "SMALLEST", 0)
    monkeypatch.setattr(cassette_index, "_IN_BUCKET", 3)


@pytest.fixture
def open_shelf() -> Iterator[Callable[[], Shelf]]:
    shelves = []

    def make() -> Shelf:
        shelves.append(Shelf(Workspace(Path.cwd())))
        return shelves[-1]

    yield make
    for shelf in shelves:
        shelf.close()


@pytest.fixture
def whole_reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The cassettes that were read from their first byte to their last."""
    read: list[Path] = []
    usual = cassette._content

    def noted(path: Path) -> bytes:
        read.append(path)
        return usual(path)

    monkeypatch.setattr(cassette, "_content", noted)
    return read


def test_a_cassette_that_was_seen_once_is_not_read_again(
    open_shelf: Callable[[], Shelf], whole_reads: list[Path]
) -> None:
    pull(*(recording(number, f"answer {number}") for number in range(50)))
    assert text(open_shelf(), 3) == "answer 3"
    whole_reads.clear()

    shelf = open_shelf()

    assert [text(shelf, number) for number in (3, 7, 49, 50)] == [
        "answer 3",
        "answer 7",
        "answer 49",
        None,
    ]
    assert len(shelf.cassette("analysis") or ()) == 50
    assert whole_reads == []


def test_a_cassette_that_changed_is_read_once_more(
    open_shelf: Callable[[], Shelf], whole_reads: list[Path]
) -> None:
    pull(recording(1, "old"), recording(2))
    assert text(open_shelf(), 1) == "old"
    pull(recording(0, "longer than it was"), recording(1, "new"))
    whole_reads.clear()

    shelf = open_shelf()

    assert [text(shelf, number) for number in range(3)] == ["longer than it was", "new", None]
    assert len(whole_reads) == 1


def test_a_save_gives_the_next_process_a_new_index(
    open_shelf: Callable[[], Shelf], whole_reads: list[Path]
) -> None:
    pull(recording(1))
    shelf = open_shelf()
    shelf.put(recording(2, "more"), "analysis")
    shelf.save("analysis")
    text(shelf, 3)
    whole_reads.clear()

    later = open_shelf()

    assert [text(later, 2), len(later.cassette("analysis") or ())] == ["more", 2]
    assert whole_reads == []


def test_an_edit_in_place_with_its_time_put_back_is_noticed(
    open_shelf: Callable[[], Shelf],
) -> None:
    pull(recording(1, "old"), recording(2, "two"))
    open_shelf().cassette("analysis")
    state = PATH.stat()
    header, *lines = PATH.read_bytes().splitlines(keepends=True)
    PATH.write_bytes(b"".join([header, *reversed(lines)]))
    os.utime(PATH, ns=(state.st_atime_ns, state.st_mtime_ns))

    shelf = open_shelf()

    assert [text(shelf, 1), text(shelf, 2)] == ["old", "two"]


@pytest.mark.parametrize(
    ("row", "value"),
    [
        ("index/analysis", "no json"),
        ("index/analysis", '{"depth": 9}'),
        ("index/analysis", '{"count": 1, "depth": 99, "digest": "", "stamp": [1, 2, 3]}'),
        ("index:{}/analysis", "[]"),
        ("index:{}/analysis", '{"stamp": [1, 2, 3], "spans": {}}'),
        ("index:{}/analysis", None),
    ],
)
def test_an_index_that_is_not_ours_costs_a_reading_and_no_answer(
    row: str, value: str | None, open_shelf: Callable[[], Shelf]
) -> None:
    pull(*(recording(number) for number in range(20)))
    shelf = open_shelf()
    shelf.cassette("analysis")
    name = row.format(recording(1).key[:1])
    assert shelf.store.get(name) is not None
    if value is None:
        shelf.store.delete(name)
    else:
        shelf.store.set(name, value)

    assert text(open_shelf(), 1) == "Because."


def test_an_index_that_points_elsewhere_gives_nobody_a_wrong_answer(
    open_shelf: Callable[[], Shelf],
) -> None:
    pull(recording(1, "one"), recording(2, "two"))
    shelf = open_shelf()
    shelf.cassette("analysis")
    row = shelf.store.get("index:/analysis")
    assert row is not None
    swapped = (
        row.replace(recording(1).key, "?")
        .replace(recording(2).key, recording(1).key)
        .replace("?", recording(2).key)
    )
    shelf.store.set("index:/analysis", swapped)

    later = open_shelf()

    assert [text(later, 1), text(later, 2)] == ["one", "two"]


def test_a_line_that_was_edited_by_hand_is_still_an_error(open_shelf: Callable[[], Shelf]) -> None:
    pull(recording(1), recording(2))
    PATH.write_text(PATH.read_text().replace("Why 1?", "Why 7?"))
    open_shelf().cassette("analysis")

    shelf = open_shelf()

    assert text(shelf, 2) == "Because."
    with pytest.raises(CassetteError, match=r"analysis\.cassette\.jsonl:\d: .*edited by hand"):
        text(shelf, 1)


def test_a_small_cassette_has_no_index(
    monkeypatch: pytest.MonkeyPatch, open_shelf: Callable[[], Shelf]
) -> None:
    monkeypatch.setattr(cassette_index, "SMALLEST", 1_000_000)
    pull(recording(1))
    shelf = open_shelf()

    assert text(shelf, 1) == "Because."

    assert list(shelf.store.items("index")) == []


def test_an_older_index_goes_when_a_new_one_comes(open_shelf: Callable[[], Shelf]) -> None:
    pull(*(recording(number) for number in range(50)))
    shelf = open_shelf()
    shelf.cassette("analysis")
    assert len(list(shelf.store.items("index"))) == 1 + 16**2
    pull(recording(1))

    shelf.cassette("analysis")

    assert [name for name, _ in shelf.store.items("index")] == ["index/analysis", "index:/analysis"]


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 20), st.integers(0, 3)), st.text(max_size=20), max_size=30
    )
)
def test_the_index_and_the_file_tell_the_same(
    tmp_path_factory: pytest.TempPathFactory, answers: dict[tuple[int, int], str]
) -> None:
    folder = tmp_path_factory.mktemp("folder")
    ones = [recording(number, answer, at) for (number, at), answer in answers.items()]
    path = folder / PATH
    cassette.write(path, "analysis", {(one.key, one.ordinal): one.to_line() for one in ones})
    shelf = Shelf(Workspace(folder))
    try:
        read = Cassette(path)
        cassette_index.keep(shelf.store, "analysis", read)
        assert read.stamp is not None

        indexed = cassette_index.find(shelf.store, path, "analysis", read.stamp)

        assert indexed is not None
        assert (len(indexed), sorted(indexed), indexed.digest) == (
            len(read),
            sorted(read),
            read.digest,
        )
        assert indexed.lines() == read.lines()
        for key, ordinal in read:
            assert indexed.line(key, ordinal) == read.line(key, ordinal)
            assert indexed.ordinals(key) == read.ordinals(key)
    finally:
        shelf.close()
