"""Tags: a word of your own on the calls of a block."""

from __future__ import annotations

import asyncio
import threading

import pytest

from llm_magic import history, tag
from llm_magic.client import Client
from llm_magic.exceptions import ParameterError


@pytest.fixture
def client():
    client = Client(".", model="echo/echo")
    yield client
    client.close()


def tags(client):
    return [row["tag"] for row in client.history.rows()]


def test_calls_in_a_block_have_its_tag_replays_too(client):
    client.complete("Why?")
    with tag("experiment-3"):
        client.complete("Why?")
        client.complete("What?")
    client.complete("When?")

    assert tags(client) == [None, "experiment-3", "experiment-3", None]
    assert history.totals(tag="experiment-3").calls == 2


def test_the_inner_block_counts_and_the_outer_one_goes_on(client):
    with tag("outer"):
        with tag("inner"):
            client.complete("Why?")
        client.complete("What?")

    assert tags(client) == ["inner", "outer"]


def test_threads_that_a_block_starts_have_its_tag(client):
    with tag("experiment-3"):
        thread = threading.Thread(target=client.complete, args=("Why?",))
        thread.start()
        thread.join()

    assert tags(client) == ["experiment-3"]


def test_tasks_side_by_side_have_each_their_own(client):
    met = asyncio.Barrier(2)

    async def ask(name):
        with tag(name):
            await met.wait()
            await client.acomplete(f"From {name}?")
            await met.wait()

    async def both():
        await asyncio.gather(ask("a"), ask("b"))

    asyncio.run(both())

    assert {(row["tag"], row["prompt"]) for row in client.history.rows()} == {
        ("a", "From a?"),
        ("b", "From b?"),
    }


def test_a_tag_changes_no_answer(client):
    with tag("a"):
        first = client.complete("Why?")
    with tag("b"):
        again = client.complete("Why?")

    assert (again.source, again.key) == ("replay", first.key)


@pytest.mark.parametrize("name", ["", " ", None, 3])
def test_an_empty_tag_is_refused(name):
    with pytest.raises(ParameterError, match="a tag is a word"), tag(name):
        pass
