"""Runs and ordinals: which answer an identical call gets, and who asks when several ask at once.

The table of modes is in ``test_modes.py``.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from llm_magic import replay
from llm_magic.client import Client
from llm_magic.exceptions import ProviderError, ReplayMissError
from llm_magic.replay import PLANS, InFlight, begin_run, current_run, end_run, run
from llm_magic.testing import FakeServer
from llm_magic.types import Mode

FIVE = ["one", "two", "three", "four", "five"]


@pytest.fixture
def client(server: FakeServer) -> Iterator[Client]:
    client = Client(".", model="openai/gpt-x", timeout=20)
    yield client
    client.close()


def ask(client: Client, times: int = 1, **options: Any) -> list[str]:
    """The same question, so many times, in a run of its own."""
    with run("cell"):
        return [client.complete("Why?", **options).text for _ in range(times)]


def script(server: FakeServer, *texts: str) -> None:
    for text in texts:
        server.reply(text)


def stored(client: Client, count: int = 6) -> list[str | None]:
    """What is recorded under each number."""
    return [replayed(client, sample) for sample in range(count)]


def replayed(client: Client, sample: int) -> str | None:
    try:
        return client.complete("Why?", mode="REPLAY", sample=sample).text
    except ReplayMissError:
        return None


# The table


def test_a_plan_looks_calls_and_stores() -> None:
    for mode, found in itertools.product(Mode, (True, False)):
        plan = PLANS[mode, found]
        assert plan.look is (mode in (Mode.REPLAY, Mode.FALLBACK))
        assert plan.store is (plan.call and mode is not Mode.DISABLED)
        assert not (mode is Mode.REPLAY and plan.call)


# Ordinals


def test_five_answers_come_back_in_order_as_often_as_one_likes(
    client: Client, server: FakeServer
) -> None:
    script(server, *FIVE)

    assert ask(client, 5, mode="CAPTURE") == FIVE

    for mode in ("REPLAY", "FALLBACK", "FALLBACK"):
        assert ask(client, 5, mode=mode) == FIVE
    assert server.count == 5


def test_each_run_begins_with_the_first_answer(client: Client, server: FakeServer) -> None:
    script(server, *FIVE)
    ask(client, 5, mode="CAPTURE")

    assert ask(client, 2) == ["one", "two"]
    assert ask(client, 3) == ["one", "two", "three"]


def test_outside_a_run_every_call_is_the_first(client: Client, server: FakeServer) -> None:
    script(server, *FIVE)
    ask(client, 5, mode="CAPTURE")

    assert [client.complete("Why?").text for _ in range(3)] == ["one"] * 3


def test_in_fallback_a_repeated_call_is_paid_once(client: Client, server: FakeServer) -> None:
    script(server, "one")

    assert ask(client, 3) == ["one"] * 3

    assert server.count == 1
    assert stored(client) == ["one", None, None, None, None, None]


def test_a_stand_in_is_told_once_a_run(client: Client, server: FakeServer) -> None:
    client.complete("Why?")

    for _ in range(2):
        with run("cell"):
            notes = [client.complete("Why?").notes for _ in range(4)]
        assert [len(each) for each in notes] == [0, 1, 0, 0]
        assert "answer 1 stands in for answer 2" in notes[1][0]


def test_in_replay_the_first_answer_stands_in_too(client: Client, server: FakeServer) -> None:
    client.complete("Why?")

    assert ask(client, 3, mode="REPLAY") == ["You said: Why?"] * 3


def named(name: str, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client in the kernel of a notebook."""
    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", f"{name}.ipynb")
    return Client(".", model="openai/gpt-x", timeout=20)


def test_what_another_notebook_records_does_not_replace_a_stand_in(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(server, "mine", *FIVE)
    with closing(named("mine", monkeypatch)) as mine:
        ask(mine, 3)
    with closing(named("theirs", monkeypatch)) as theirs:
        ask(theirs, 5, mode="CAPTURE")

    with closing(named("mine", monkeypatch)) as mine:
        assert ask(mine, 3, mode="REPLAY") == ["mine", "mine", "mine"]
        assert mine.shelf.save("mine").total == 1


@pytest.mark.parametrize("saved", [True, False])
def test_a_notebook_shares_all_answers_of_another_one_in_their_order(
    saved: bool, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(server, *FIVE)
    with closing(named("theirs", monkeypatch)) as theirs:
        ask(theirs, 5, mode="CAPTURE")
        if saved:
            theirs.shelf.save("theirs")

    with closing(named("mine", monkeypatch)) as mine:
        assert ask(mine, 6, mode="REPLAY") == [*FIVE, "one"]
        assert mine.shelf.save("mine").total == 5
        assert ask(mine, 6, mode="REPLAY") == [*FIVE, "one"]


def test_an_answer_that_a_notebook_dropped_does_not_come_back_from_another_one(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(server, *FIVE)
    with closing(named("theirs", monkeypatch)) as theirs:
        ask(theirs, 2, mode="CAPTURE")
    with closing(named("mine", monkeypatch)) as mine:
        ask(mine, 2, mode="REPLAY")
        mine.shelf.save("mine")
        (key,) = {key for key, _, _ in mine.shelf.recordings.used_by("mine")}

        assert mine.shelf.drop(key, 1, "mine")

        assert ask(mine, 2, mode="REPLAY") == ["one", "one"]


@pytest.mark.parametrize("mode", ["FALLBACK", "CAPTURE"])
def test_a_sample_is_the_answer_that_is_asked_for(
    mode: str, client: Client, server: FakeServer
) -> None:
    script(server, "zero", "two", "again")

    texts = [client.complete("Why?", sample=sample, mode=mode).text for sample in (0, 2, 2)]

    assert texts == ["zero", "two", "two" if mode == "FALLBACK" else "again"]
    assert stored(client, 3) == ["zero", None, texts[-1]]


def test_nothing_stands_in_for_a_sample(client: Client, server: FakeServer) -> None:
    client.complete("Why?")

    with pytest.raises(ReplayMissError, match="answer number 4") as miss:
        client.complete("Why?", sample=3, mode="REPLAY")

    assert miss.value.ordinal == 3


def test_samples_in_a_run_do_not_count(client: Client, server: FakeServer) -> None:
    script(server, "one", "two")
    ask(client, 2, mode="CAPTURE")

    with run("cell"):
        client.complete("Why?", sample=1)
        assert client.complete("Why?").text == "one"


def test_other_requests_have_numbers_of_their_own(client: Client, server: FakeServer) -> None:
    with run("cell"):
        answers = [client.complete(text, mode="CAPTURE") for text in ("a", "b", "a", "b")]

    assert [answer.ordinal for answer in answers] == [0, 0, 1, 1]


def test_numbers_are_taken_when_a_call_is_entered(client: Client, server: FakeServer) -> None:
    script(server, "entered first", "entered second")
    with run("cell"):
        first = client.stream("Why?", mode="CAPTURE")
        second = client.stream("Why?", mode="CAPTURE")
        for stream in (first, second):
            list(stream)
    script(server, "entered first", "entered second")

    with run("cell"):
        first = client.stream("Why?", mode="CAPTURE")
        second = client.stream("Why?", mode="CAPTURE")
        for stream in (second, first):
            list(stream)

    assert (first.completion.ordinal, second.completion.ordinal) == (0, 1)
    assert stored(client, 2) == ["entered second", "entered first"]


def test_threads_of_a_run_count(client: Client, server: FakeServer) -> None:
    script(server, *FIVE)
    with run("cell"), ThreadPoolExecutor(5) as pool:
        captured = [
            future.result()
            for future in [pool.submit(client.complete, "Why?", mode="CAPTURE") for _ in FIVE]
        ]

    with run("cell"), ThreadPoolExecutor(5) as pool:
        again = [future.result() for future in [pool.submit(client.complete, "Why?") for _ in FIVE]]

    assert sorted(answer.ordinal for answer in captured) == list(range(5))
    assert sorted(answer.text for answer in again) == sorted(FIVE)
    assert server.count == 5


def test_tasks_of_a_run_count(client: Client, server: FakeServer) -> None:
    script(server, *FIVE)

    async def all_at_once(mode: str) -> list[Any]:
        return await asyncio.gather(*(client.acomplete("Why?", mode=mode) for _ in FIVE))

    with run("cell"):
        captured = asyncio.run(all_at_once("CAPTURE"))
    with run("cell"):
        again = asyncio.run(all_at_once("REPLAY"))

    assert [answer.ordinal for answer in captured] == list(range(5))
    assert [answer.text for answer in again] == [answer.text for answer in captured]


# Captures


def test_a_capture_drops_the_longer_tail_of_the_old_one(client: Client, server: FakeServer) -> None:
    script(server, *FIVE, "new one", "new two")
    ask(client, 5, mode="CAPTURE")

    ask(client, 2, mode="CAPTURE")

    assert stored(client) == ["new one", "new two", None, None, None, None]


def test_an_interrupted_capture_leaves_the_other_old_answers(
    client: Client, server: FakeServer
) -> None:
    script(server, *FIVE, "new one", "new two")
    ask(client, 5, mode="CAPTURE")

    def interrupted() -> None:
        with run("cell"):
            for _ in range(2):
                client.complete("Why?", mode="CAPTURE")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert stored(client) == ["new one", "new two", "three", "four", "five", None]


def test_a_call_that_failed_drops_nothing_at_its_number(client: Client, server: FakeServer) -> None:
    script(server, *FIVE, "new one")
    ask(client, 5, mode="CAPTURE")
    server.fail(500)

    with run("cell"):
        client.complete("Why?", mode="CAPTURE")
        with pytest.raises(ProviderError):
            client.complete("Why?", mode="CAPTURE")

    assert stored(client) == ["new one", "two", None, None, None, None]


@pytest.mark.parametrize("mode", ["FALLBACK", "REPLAY", "DISABLED"])
def test_only_a_capture_drops_a_tail(mode: str, client: Client, server: FakeServer) -> None:
    script(server, *FIVE)
    ask(client, 5, mode="CAPTURE")

    ask(client, 1, mode=mode)

    assert stored(client, 5) == FIVE


def test_a_captured_sample_drops_no_tail(client: Client, server: FakeServer) -> None:
    script(server, *FIVE, "new")
    ask(client, 5, mode="CAPTURE")

    ask(client, 1, mode="CAPTURE", sample=0)

    assert stored(client, 5) == ["new", *FIVE[1:]]


def test_a_capture_outside_a_run_drops_no_tail(client: Client, server: FakeServer) -> None:
    script(server, *FIVE, "new")
    ask(client, 5, mode="CAPTURE")

    client.complete("Why?", mode="CAPTURE")

    assert stored(client, 5) == ["new", *FIVE[1:]]


# Streams that were closed early


def close_early(client: Client, **options: Any) -> None:
    with client.stream("Why?", **options) as stream:
        next(chunk for chunk in stream if chunk.text)


def test_a_stream_closed_early_replays_only_as_a_stream(client: Client, server: FakeServer) -> None:
    script(server, "a long answer")
    close_early(client)

    with client.stream("Why?", mode="REPLAY") as stream:
        assert "".join(chunk.text for chunk in stream) == "a"
    with pytest.raises(ReplayMissError):
        client.complete("Why?", mode="REPLAY")

    script(server, "a whole answer")
    assert client.complete("Why?").text == "a whole answer"
    assert client.complete("Why?", mode="REPLAY").text == "a whole answer"
    assert server.count == 2


def test_a_closed_stream_costs_no_whole_answer(client: Client, server: FakeServer) -> None:
    """A call that cannot use the closed stream at its own number takes the first answer."""
    script(server, "whole", "cut off here")
    with run("cell"):
        client.complete("Why?", mode="CAPTURE")
        close_early(client, mode="CAPTURE")

    assert ask(client, 2) == ask(client, 2, mode="REPLAY") == ["whole", "whole"]

    assert server.count == 2
    assert stored(client, 1) == ["whole"]


@pytest.mark.parametrize("how", ["interrupted", "cut", "unfinished"])
def test_a_stream_that_did_not_end_is_not_stored(
    how: str, client: Client, server: FakeServer
) -> None:
    class Interrupted(BaseException):
        pass

    def read() -> None:
        with client.stream("Why?") as stream:
            for number, _ in enumerate(stream):
                if how == "interrupted" and number == 2:
                    raise Interrupted

    if how == "interrupted":
        server.reply("a long answer")
    else:
        getattr(server, how)("a long answer")

    with pytest.raises((Interrupted, ProviderError)):
        read()

    with pytest.raises(ReplayMissError):
        client.stream("Why?", mode="REPLAY")


# At the same time


def test_identical_calls_in_flight_are_asked_once(client: Client, server: FakeServer) -> None:
    gate = threading.Event()
    server.reply("Because.", gate=gate)

    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(client.complete, "Why?")
        server.wait_for(1)
        others = [pool.submit(client.complete, "Why?") for _ in range(5)]
        gate.set()
        answers = [future.result(20) for future in (first, *others)]

    assert {answer.text for answer in answers} == {"Because."}
    assert [answer.source for answer in answers] == ["live", *["replay"] * 5]
    assert server.count == 1


def test_identical_tasks_in_flight_are_asked_once(client: Client, server: FakeServer) -> None:
    server.reply("Because.")

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(client.acomplete("Why?") for _ in range(5)))

    answers = asyncio.run(all_at_once())

    assert {answer.text for answer in answers} == {"Because."}
    assert server.count == 1


def test_two_clients_of_a_folder_ask_once(client: Client, server: FakeServer) -> None:
    gate = threading.Event()
    server.reply("Because.", gate=gate)
    twin = Client(".", model="openai/gpt-x")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(client.complete, "Why?")
        server.wait_for(1)
        second = pool.submit(twin.complete, "Why?")
        gate.set()

        assert (first.result(20).source, second.result(20).source) == ("live", "replay")

    twin.close()
    assert server.count == 1


@pytest.mark.parametrize("mode", ["CAPTURE", "DISABLED"])
def test_who_wants_a_new_answer_does_not_wait(
    mode: str, client: Client, server: FakeServer
) -> None:
    gate = threading.Event()
    server.reply("first", gate=gate)
    script(server, "second")

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.complete, "Why?")
        server.wait_for(1)
        assert client.complete("Why?", mode=mode).text == "second"
        gate.set()
        assert first.result(20).text == "first"


def test_when_the_first_fails_the_next_one_asks(client: Client, server: FakeServer) -> None:
    gate = threading.Event()
    # A failure has no gate: the first is a stream that is cut once it goes on.
    server.unfinished("never")
    script(server, "Because.")

    def fail() -> None:
        stream = client.stream("Why?")
        next(stream)
        claimed.set()
        gate.wait(20)
        list(stream)

    claimed = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(fail)
        assert claimed.wait(20)
        second = pool.submit(client.complete, "Why?")
        gate.set()
        with pytest.raises(ProviderError):
            first.result(20)

        assert second.result(20).text == "Because."


def test_a_thread_does_not_wait_for_its_own_unfinished_stream(
    client: Client, server: FakeServer
) -> None:
    server.reply("first answer", gate=threading.Event())
    script(server, "second")

    with client.stream("Why?") as stream:
        next(stream)
        assert client.complete("Why?").text == "second"

    assert client.complete("Why?").source == "replay"


def test_a_task_does_not_wait_for_its_own_unfinished_stream(
    client: Client, server: FakeServer
) -> None:
    server.reply("first answer", gate=threading.Event())
    script(server, "second", "third")

    async def both() -> None:
        async with client.astream("Why?") as stream:
            await anext(stream)
            assert (await client.acomplete("Why?")).text == "second"
        with client.stream("What?") as plain:
            next(plain)
            assert (await client.acomplete("What?")).text.startswith("You said")

    asyncio.run(asyncio.wait_for(both(), 15))


def test_a_task_waits_for_another_tasks_stream(client: Client, server: FakeServer) -> None:
    script(server, "Because it is.")

    async def both() -> tuple[str, str]:
        stream = client.astream("Why?")
        await anext(stream)
        other = asyncio.create_task(client.acomplete("Why?"))
        await asyncio.sleep(0)
        async for _ in stream:
            pass
        return stream.completion.text, (await other).source

    assert asyncio.run(asyncio.wait_for(both(), 15)) == ("Because it is.", "replay")
    assert server.count == 1


@pytest.mark.parametrize("how", ["closed", "dropped", "never begun", "failed"])
def test_an_unfinished_stream_holds_up_nobody_for_ever(
    how: str, client: Client, server: FakeServer
) -> None:
    if how == "failed":
        server.cut("broken off")
    stream = client.stream("Why?")
    if how == "failed":
        with pytest.raises(ProviderError):
            list(stream)
    elif how != "never begun":
        next(stream)
    if how == "closed":
        stream.close()
    if how == "dropped":
        del stream

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(client.complete, "Why?", sample=0).result(10).text == "You said: Why?"


def test_a_look_up_that_fails_after_the_claim_gives_it_back(
    client: Client, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = itertools.count()
    look_up = replay.look_up

    def fail_the_second_time(*arguments: Any, **options: Any) -> Any:
        if next(looks) == 1:
            raise KeyboardInterrupt
        return look_up(*arguments, **options)

    monkeypatch.setattr(replay, "look_up", fail_the_second_time)
    with pytest.raises(KeyboardInterrupt):
        client.complete("Why?")

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(client.complete, "Why?").result(10).text == "You said: Why?"


def test_a_claim_knows_its_thread_and_task(tmp_path: Any) -> None:
    in_flight, place = InFlight(), (tmp_path, "key", 0)
    mine, other = object(), object()

    assert in_flight.claim(place, mine) is None
    waiting = in_flight.claim(place, other)

    assert waiting is not None
    assert in_flight.runs_here(place)
    assert in_flight.runs_here(place, mine)
    assert not in_flight.runs_here(place, other)
    with ThreadPoolExecutor(1) as pool:
        assert not pool.submit(in_flight.runs_here, place).result()
    in_flight.end(place)
    assert waiting.done()
    assert not in_flight.runs_here(place)
    in_flight.end(place)


# Runs


def test_a_run_inside_a_run_goes_on_counting(client: Client, server: FakeServer) -> None:
    with run("outer") as outer:
        client.complete("Why?", mode="CAPTURE")
        with run("inner") as inner:
            assert current_run() is inner
            assert client.complete("Why?", mode="CAPTURE").ordinal == 1
        assert current_run() is outer
        assert client.complete("Why?", mode="CAPTURE").ordinal == 2
    assert current_run() is None


def test_a_capture_does_not_drop_what_another_cell_captured(
    client: Client, server: FakeServer
) -> None:
    script(server, "1", "2", "3", "4")
    with run("c1"):
        for _ in range(3):
            client.complete("Why?", mode="CAPTURE")

    with run("c2"):
        again = client.complete("Why?", mode="CAPTURE")

    with run("c1"):
        replayed = [client.complete("Why?", mode="REPLAY").text for _ in range(3)]
    assert replayed == ["4", "2", "3"]
    assert "another cell captured: c1" in again.notes[0]


def test_ending_a_run_twice_does_no_harm(client: Client, server: FakeServer) -> None:
    script(server, *FIVE[:2])
    ask(client, 2, mode="CAPTURE")
    first = begin_run("cell")
    client.complete("Why?", mode="CAPTURE")
    end_run(first, ok=False)

    end_run(first, ok=True)

    assert stored(client, 2)[1] == "two"


def test_what_comes_at_the_end_of_a_run_comes_once_when_the_outer_one_ends() -> None:
    done: list[str] = []

    def note() -> None:
        done.append("at the end")

    with run("outer") as outer:
        with run("inner") as inner:
            inner.at_end(note)
            outer.at_end(note)
        done.append("inside")

    assert done == ["inside", "at the end"]


def test_what_is_asked_apart_has_an_end_of_its_own() -> None:
    done: list[str] = []

    with replay.apart("panel") as beside:
        beside.at_end(lambda: done.append("at the end"))

    assert done == ["at the end"]


def test_a_run_notices_each_thing_once() -> None:
    with run("cell") as current:
        assert current.notice_once("a") == "a"
        assert current.notice_once("a") is None
        assert current.notice_once("b") == "b"


def test_a_miss_says_what_was_asked_and_what_to_do(client: Client, server: FakeServer) -> None:
    with pytest.raises(ReplayMissError) as miss:
        client.complete("Why\n is   the sky " + "very " * 20 + "blue?", mode="REPLAY")

    message = str(miss.value)
    assert "openai/gpt-x" in message
    assert "'Why is the sky very" in message
    assert "nothing was sent" in message
    assert "--mode CAPTURE" in message
    assert len(message) < 350 + len(str(client.shelf.folder))


def test_a_number_that_was_given_back_is_the_next_one_that_is_taken() -> None:
    run = replay.Run()
    taken = [run.next_ordinal("k") for _ in range(3)]

    run.give_back("k", taken[2])
    run.give_back("k", taken[1])

    assert [run.next_ordinal("k") for _ in range(3)] == [1, 2, 3]
    assert run.next_ordinal("other") == 0


def test_what_is_asked_apart_takes_no_number_of_the_run_around_it() -> None:
    with replay.run("cell") as outer:
        with replay.apart("panel") as own:
            assert replay.current_run() is own
            own.next_ordinal("k")

        assert replay.current_run() is outer
        assert outer.next_ordinal("k") == 0


def test_only_the_thread_that_asks_apart_is_apart() -> None:
    seen: list[replay.Run | None] = []

    with replay.run("cell") as outer, replay.apart("panel"):
        thread = threading.Thread(target=lambda: seen.append(replay.current_run()))
        thread.start()
        thread.join()

    assert seen == [outer]
