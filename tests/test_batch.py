"""Many calls at once: in order, at most so many, stopped at once, and told before they are made."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any

import pandas
import pytest

from llm_magic import history, replay
from llm_magic.batch import Question, Row, Work, estimate, items
from llm_magic.client import Client
from llm_magic.exceptions import BadRequestError, LLMMagicError
from llm_magic.testing import FakeServer
from llm_magic.types import Completion

MODEL = "openai/gpt-5-mini"


@pytest.fixture
def asker(server: FakeServer) -> Client:
    return Client(model=MODEL)


def questions(*prompts: str, **options: Any) -> list[Question]:
    return [Question(prompt, options) for prompt in prompts]


def texts(work: Work) -> list[str | None]:
    return [one.text if isinstance(one, Completion) else None for one in work.outcomes]


def test_answers_come_in_the_order_of_the_questions(asker: Client, server: FakeServer) -> None:
    gate = threading.Event()
    server.reply("slow one", gate=gate)
    ended = []

    with Work(asker, questions("a", "b")) as work:
        for number, news in work.events():
            if isinstance(news, Completion):
                ended.append(number)
                gate.set()

    expected = ["You said: a", "You said: b"]
    expected[ended[-1]] = "slow one"
    assert texts(work) == expected


def test_among_equal_ones_the_nth_has_the_nth_recording(asker: Client, server: FakeServer) -> None:
    for text in "123":
        server.reply(text)
    with (
        replay.run("one"),
        Work(asker, questions("x", "x", "x", mode="CAPTURE"), at_once=1) as first,
    ):
        first.join()

    with replay.run("two"), Work(asker, questions("x", "x", "x", mode="REPLAY")) as again:
        again.join()

    assert texts(first) == texts(again) == ["1", "2", "3"]


def test_no_more_are_under_way_than_allowed(asker: Client, server: FakeServer) -> None:
    gate = threading.Event()
    for _ in range(3):
        server.reply("held back", gate=gate)

    with Work(asker, questions("a", "b", "c"), at_once=2) as work:
        server.wait_for(2)
        begun = server.count
        gate.set()
        work.join()

    assert begun == 2
    assert server.count == 3


def test_what_is_stopped_is_not_kept_and_what_was_answered_is(
    asker: Client, server: FakeServer
) -> None:
    server.reply("done")
    server.hang()

    with Work(asker, questions("a", "b", "c"), at_once=1) as work:
        server.wait_for(2)

    assert texts(work) == ["done", None, None]
    statuses = [row["status"] for row in history.default().rows()]
    assert statuses == ["ok", "interrupted"]
    assert asker.complete("a", mode="REPLAY").text == "done"


def test_after_a_failure_nothing_more_is_begun(asker: Client, server: FakeServer) -> None:
    server.fail(400)

    with Work(asker, questions("a", "b", "c"), at_once=1) as work:
        work.join()

    assert isinstance(work.outcomes[0], BadRequestError)
    assert work.outcomes[1:] == [None, None]
    assert server.count == 1


def test_the_others_go_on_where_that_is_wanted(asker: Client, server: FakeServer) -> None:
    server.fail(400)

    with Work(asker, questions("a", "b"), at_once=1, on_error="go on") as work:
        work.join()

    assert texts(work) == [None, "You said: b"]


def test_calls_belong_to_the_run_that_began_them(asker: Client, server: FakeServer) -> None:
    gate = threading.Event()
    server.reply("one two", gate=gate)
    with replay.run("first"):
        work = Work(asker, questions("a"))
        server.wait_for(1)
    with replay.run("second"):
        gate.set()
        work.join()

    (row,) = history.default().rows()
    assert row["run"] == "first"


def test_the_thread_ends_with_its_work(asker: Client) -> None:
    with Work(asker, questions("a")):
        pass

    assert not [one for one in threading.enumerate() if one.name == "llm-magic batch"]


# Estimates


def test_an_estimate_counts_what_is_asked_replayed_and_missed(
    asker: Client, server: FakeServer
) -> None:
    asker.complete("known", max_tokens=10)
    server.clear()

    found = estimate(asker, questions("known", "new", "new", max_tokens=10))

    assert (found.live, found.replays, found.misses, found.unknown) == (1, 2, 0, 0)
    assert 0 < found.most < Decimal("0.001")
    assert str(found) == f"1 call, at most ${found.most.normalize():f}, 2 replays"
    assert server.count == 0
    assert estimate(asker, questions("new", mode="REPLAY")).misses == 1


def test_an_unknown_price_exceeds_every_amount(asker: Client) -> None:
    found = estimate(asker, questions("a", model="openai/my-own", max_tokens=10))

    assert found.exceeds(Decimal(1_000))
    assert "1 call of unknown cost" in str(found)


def test_an_estimate_tells_what_is_wrong_before_anything_is_sent(asker: Client) -> None:
    with pytest.raises(LLMMagicError, match="did you mean openai"):
        estimate(asker, questions("a", model="opnai/x"))


# Items


@pytest.mark.parametrize(
    ("values", "gathered"),
    [
        ([1, 2], ["x", "y"]),
        ((1, 2), ["x", "y"]),
        (iter([1, 2]), ["x", "y"]),
        ({"a": 1, "b": 2}, {"a": "x", "b": "y"}),
    ],
)
def test_answers_have_the_shape_of_the_items(values: Any, gathered: Any) -> None:
    _, names, gather = items(values)

    assert [one["item"] for one in names] == [1, 2]
    assert gather(["x", "y"]) == gathered


def test_rows_keep_their_types_and_their_index() -> None:
    frame = pandas.DataFrame({"n": [1, 2], "x": [0.5, 1.5]}, index=[3, 3])

    labels, names, gather = items(frame)

    assert labels == [3, 3]
    assert [(one["row"].n, one["row"].x) for one in names] == [(1, 0.5), (2, 1.5)]
    assert list(gather(["a", "b"]).items()) == [(3, "a"), (3, "b")]


def test_a_row_has_its_columns_and_nothing_else() -> None:
    row = Row({"items": 1, "two words": 2})

    assert (row.items, row["two words"], len(row), list(row)) == (1, 2, 2, ["items", "two words"])
    with pytest.raises(AttributeError, match="no column 'itms'; did you mean items"):
        _ = row.itms


@pytest.mark.parametrize("values", ["text", b"bytes", 3, None])
def test_what_has_no_items_is_told(values: Any) -> None:
    with pytest.raises(TypeError, match=f"not {type(values).__name__}"):
        items(values)
