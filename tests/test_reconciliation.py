"""The ledger against the provider's own books: what the server saw is what was spent, no more."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from llm_magic import history
from llm_magic.client import Client
from llm_magic.exceptions import ProviderError

# USD per million tokens, in and out.
PRICES = {
    "openai/gpt-5-mini": (Decimal("0.25"), Decimal(2)),
    "anthropic/claude-haiku-4-5": (Decimal(1), Decimal(5)),
}
MINI, HAIKU = PRICES
KINDS = ["live", "replayed", "failed", "retried", "fallback", "streamed", "interrupted", "cut"]


def bill(model, usage):
    return (PRICES[model][0] * usage[0] + PRICES[model][1] * usage[1]) / 1_000_000


class Books:
    """What the provider would write down: independent of everything that the ledger does."""

    def __init__(self):
        self.billed = Decimal(0)
        self.requests = 0
        self.saved = Decimal(0)
        self.unknown = 0
        self.replayed = 0
        self.failed = 0
        self.answers = []


def test_spent_and_saved_are_what_the_server_saw_over_two_hundred_mixed_calls(server):
    chance = random.Random(20261120)
    client = Client(".", model=MINI)
    books = Books()
    kinds = KINDS + chance.choices(KINDS, k=200 - len(KINDS))
    for number, kind in enumerate(kinds):
        usage = (chance.randrange(1, 5000), chance.randrange(1, 900))
        make(kind, f"Question {number}?", usage, client, server, books, chance)

    totals = history.default().totals()
    assert len(server.requests) == books.requests
    assert totals.spent == books.billed
    assert totals.saved == books.saved
    assert totals.unknown == books.unknown
    assert totals.replayed == books.replayed
    assert totals.live == books.requests
    assert totals.failed == books.failed
    frame = history.to_pandas()
    assert len(frame) == books.requests + books.replayed
    assert frame["cost"].sum() == pytest.approx(float(books.billed))


def interrupt(stream):
    """Press Ctrl-C after the first word."""
    with stream:
        next(stream)
        raise KeyboardInterrupt


def make(kind, question, usage, client, server, books, chance):
    """Make one call of a kind, and write down what the provider does."""
    if kind == "replayed" and books.answers:
        asked, cost = chance.choice(books.answers)
        assert client.complete(asked).source == "replay"
        books.saved += cost
        books.replayed += 1
        return
    if kind == "failed":
        server.fail(400)
        books.requests += 1
        books.failed += 1
        with pytest.raises(ProviderError):
            client.complete(question)
        return
    if kind == "retried":
        server.fail(503, retry_after=0)
        books.requests += 1
        books.failed += 1
    if kind == "fallback":
        server.fail(404)
        server.reply("from the other", usage=usage)
        books.requests += 2
        books.failed += 1
        books.billed += bill(HAIKU, usage)
        assert client.complete(question, fallbacks=[HAIKU]).provider == "anthropic"
        return
    books.requests += 1
    if kind == "interrupted":
        server.reply("one two three four", usage=usage)
        books.unknown += 1
        books.failed += 1
        with pytest.raises(KeyboardInterrupt):
            interrupt(client.stream(question))
        return
    if kind == "cut":
        server.cut("one two three four", after=2)
        books.unknown += 1
        books.failed += 1
        with pytest.raises(ProviderError):
            "".join(chunk.text for chunk in client.stream(question))
        return
    server.reply("an answer", usage=usage)
    books.billed += bill(MINI, usage)
    books.answers.append((question, bill(MINI, usage)))
    if kind == "streamed":
        assert "".join(chunk.text for chunk in client.stream(question)) == "an answer"
    else:
        assert client.complete(question, num_retries=1).text == "an answer"
