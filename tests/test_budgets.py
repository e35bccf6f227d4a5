"""Caps: what a call can cost is set aside before it is sent, and no cap is ever crossed."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

import llm_magic
from llm_magic import bounds, budgets, history
from llm_magic.client import Client
from llm_magic.exceptions import BudgetExceededError, ConfigError, UnboundedCostError
from llm_magic.testing import FakeServer

MODEL = "openai/gpt-5-mini"


@pytest.fixture
def client(server: FakeServer):
    made = Client(".", model=MODEL)
    yield made
    made.close()


def spent() -> Decimal:
    return history.default().totals().spent


def test_a_call_that_fits_is_sent_and_what_was_set_aside_becomes_its_cost(client, server):
    with llm_magic.budget(0.10) as cap:
        completion = client.complete("Why?", max_tokens=100)

    assert len(server.requests) == 1
    assert cap.spent == completion.cost > 0
    assert cap.reserved == 0
    assert cap.left == Decimal("0.10") - completion.cost


def test_a_call_that_could_cost_more_than_is_left_is_not_sent(client, server):
    with llm_magic.budget("0.000001") as cap, pytest.raises(BudgetExceededError) as caught:
        client.complete("Why?", max_tokens=100)

    error = caught.value
    assert server.requests == []
    assert (error.per, error.limit, error.spent, error.reserved) == (
        "block",
        Decimal("0.000001"),
        0,
        0,
    )
    assert error.asked > error.limit
    assert cap.spent == cap.reserved == 0
    (row,) = history.default().rows()
    assert (row["status"], row["cost"], row["error"]) == ("refused", "0", "BudgetExceededError")
    assert history.default().totals().live == 0


def test_the_error_says_spent_set_aside_asked_and_how_to_raise_it(client):
    client.settings.set("budget", "0.0001")

    with pytest.raises(BudgetExceededError) as caught:
        client.complete("Why?", max_tokens=100_000)

    assert str(caught.value) == (
        "not sent: this call can cost up to $0.20, and the budget of this session is $0.0001"
        " (spent $0.00, set aside $0.00; left $0.0001). A smaller max_tokens= asks for less;"
        " %llm budget USD raises it"
    )


@pytest.mark.parametrize(
    "per", ["budget", "budget_per_call", "budget_per_day", "budget_per_process"]
)
def test_each_kind_of_cap_refuses(per, client, server):
    client.settings.set(per, "0.000001")

    with pytest.raises(BudgetExceededError):
        client.complete("Why?", max_tokens=100)

    assert server.requests == []


def test_the_cap_of_a_cell_counts_one_run_and_begins_anew_in_the_next(client):
    client.settings.set("budget_per_cell", "0.001")
    for name in ("first", "second"):
        with llm_magic.run(name):
            client.complete(f"Why {name}?", max_tokens=400)
            with pytest.raises(BudgetExceededError, match="the budget of this cell is"):
                client.complete(f"How {name}?", max_tokens=600)

    assert history.default().totals().live == 2


def test_outside_of_a_cell_its_cap_does_not_count(client):
    client.settings.set("budget_per_cell", "0")

    assert client.complete("Why?", max_tokens=100).source == "live"


def test_a_session_cap_counts_what_was_spent_before_it_was_set(client):
    first = client.complete("Why?", max_tokens=100).cost
    client.settings.set("budget", first)

    with pytest.raises(BudgetExceededError) as caught:
        client.complete("How?", max_tokens=1)

    assert caught.value.spent == first


def test_a_replay_costs_nothing_whatever_the_cap(client, server):
    client.complete("Why?", max_tokens=100)
    client.settings.set("budget", 0)

    assert client.complete("Why?", max_tokens=100).source == "replay"
    assert len(server.requests) == 1


def test_without_a_cap_nothing_is_set_aside_and_nothing_is_limited(client, server):
    client.complete("Why?")

    (row,) = history.default().rows()
    assert row["reserved"] is None
    assert "max_completion_tokens" not in server.requests[0].body


# The output limit


def test_under_a_cap_a_call_without_a_limit_gets_one_that_is_not_in_its_key(client, server):
    with llm_magic.budget(1):
        first = client.complete("Why?")

    assert server.requests[0].body["max_completion_tokens"] == 4096
    assert client.complete("Why?").source == "replay"
    assert first.key == client.complete("Why?").key


def test_an_answer_that_was_cut_by_it_is_shown_marked_and_not_recorded(client, server):
    client.settings.set("budget_max_tokens", 3)
    server.reply("one two three", finish_reason="length")

    with llm_magic.budget(1):
        cut = client.complete("Why?")

    assert cut.text == "one two three"
    assert "cut after 3 tokens" in cut.notes[-1]
    server.reply("all of it")
    assert client.complete("Why?").text == "all of it"


def test_an_answer_that_was_cut_by_its_own_limit_is_recorded(client, server):
    server.reply("one two three", finish_reason="length")

    with llm_magic.budget(1):
        client.complete("Why?", max_tokens=3)

    assert client.complete("Why?", max_tokens=3).source == "replay"


# What has no bound


def test_an_unknown_price_is_refused_before_any_request(client, server):
    with (
        llm_magic.budget(1),
        pytest.raises(UnboundedCostError, match=r"prices\.set\('openai/mine'"),
    ):
        client.complete("Why?", model="openai/mine", max_tokens=5)

    assert server.requests == []


def test_a_free_model_needs_no_price(client):
    with llm_magic.budget(0) as cap:
        assert client.complete("Why?", model="echo/echo").cost == 0

    assert cap.spent == 0


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"files": "https://example.com/a.png"}, "an image that the provider fetches"),
        ({"web_search_options": {"search_context_size": "low"}}, "web_search_options"),
        ({"tools": [{"type": "web_search"}]}, "the tool 'web_search'"),
    ],
)
def test_what_has_no_bound_is_refused_unless_somebody_says_one(options, what, client, server):
    with llm_magic.budget(1), pytest.raises(UnboundedCostError, match=what):
        client.complete("Why?", max_tokens=5, **options)
    assert server.requests == []

    client.settings.set("budget_max_input_tokens", 2000)
    with llm_magic.budget(1):
        client.complete("Why?", max_tokens=5, **options)
    assert len(server.requests) == 1


# Outcomes


def test_a_call_with_an_unknown_outcome_settles_at_its_worst_case(client, server):
    server.cut("one two three four", after=1)

    with llm_magic.budget(1) as cap, pytest.raises(llm_magic.ProviderError):
        "".join(chunk.text for chunk in client.stream("Why?", max_tokens=100))

    (row,) = history.default().rows()
    assert row["cost"] is None
    assert cap.spent == Decimal(row["reserved"]) > 0
    assert cap.reserved == 0


def test_a_refused_request_gives_back_what_was_set_aside(client, server):
    server.fail(400)

    with llm_magic.budget(1) as cap, pytest.raises(llm_magic.ProviderError):
        client.complete("Why?", max_tokens=100)

    assert (cap.spent, cap.reserved) == (0, 0)


def test_each_attempt_sets_aside_for_itself(client, server):
    server.fail(500, retry_after=0)

    with llm_magic.budget(1) as cap:
        completion = client.complete("Why?", max_tokens=100, num_retries=1)

    assert len(server.requests) == 2
    assert (cap.spent, cap.reserved) == (completion.cost, 0)


# Nobody crosses a cap


PRICES = {"input": Decimal("0.25"), "output": Decimal("2")}  # USD per million tokens


def at_list_price(requests, usage):
    """What the provider would bill for the requests it saw."""
    tokens_in, tokens_out = usage
    each = (PRICES["input"] * tokens_in + PRICES["output"] * tokens_out) / 1_000_000
    return each * len(requests)


@pytest.mark.parametrize("attempt", range(20))
def test_sixty_four_threads_never_cross_a_cap(attempt, client, server):
    usage = (50, 250)
    for _ in range(64):
        server.reply("so", usage=usage)
    client.settings.set("budget", "0.01")

    def ask(number):
        try:
            client.complete(f"Why {number}?", max_tokens=250)
        except BudgetExceededError:
            return 0
        return 1

    with ThreadPoolExecutor(64) as pool:
        answered = sum(pool.map(ask, range(64)))

    assert 0 < answered < 64
    assert len(server.requests) == answered
    assert at_list_price(server.requests, usage) <= Decimal("0.01")
    assert spent() == at_list_price(server.requests, usage)


def test_a_hundred_tasks_never_cross_a_cap(client, server):
    usage = (50, 250)
    for _ in range(100):
        server.reply("so", usage=usage)

    async def ask(number):
        try:
            await client.acomplete(f"Why {number}?", max_tokens=250)
        except BudgetExceededError:
            return 0
        return 1

    async def all_of_them():
        return sum(await asyncio.gather(*map(ask, range(100))))

    with llm_magic.budget("0.01") as cap:
        answered = asyncio.run(all_of_them())

    assert 0 < answered < 100
    assert cap.spent == at_list_price(server.requests, usage) <= Decimal("0.01")


ASK_MANY = """
import sys
import llm_magic
client = llm_magic.Client(".", model="openai/gpt-5-mini")
answered = 0
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    try:
        client.complete(f"Why {sys.argv[1]} {number}?", max_tokens=250)
        answered += 1
    except llm_magic.BudgetExceededError:
        pass
print(answered)
"""


def test_two_processes_on_one_folder_share_the_cap_of_the_day(server):
    usage = (50, 250)
    for _ in range(80):
        server.reply("so", usage=usage)
    environment = {**os.environ, "LLM_MAGIC_BUDGET_PER_DAY": "0.01"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ASK_MANY, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for name in "ab"
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"

    told = []
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        told.append(int(process.communicate(timeout=60)[0]))

    assert sum(told) == len(server.requests) < 80
    assert at_list_price(server.requests, usage) <= Decimal("0.01")


DIE = """
import llm_magic
client = llm_magic.Client(".", model="openai/gpt-5-mini")
client.complete("Why?", max_tokens=100_000)
"""


def test_what_a_dead_process_had_set_aside_settles_at_its_worst_case(server):
    server.hang()
    environment = {**os.environ, "LLM_MAGIC_BUDGET_PER_DAY": "1"}
    process = subprocess.Popen([sys.executable, "-c", DIE], env=environment)
    server.wait_for(1)
    process.kill()
    process.wait()

    ledger = history.default()

    (row,) = ledger.rows()
    (counter,) = ledger.counters([history.day_scope(datetime.now(UTC))]).values()
    assert (row["status"], row["cost"]) == ("unknown", None)
    assert (counter.settled, counter.reserved) == (Decimal(row["reserved"]), 0)


# Where caps come from


def test_a_cap_from_outside_is_not_raised_in_a_notebook(run_python, server):
    code = """
import os
os.environ["LLM_MAGIC_BUDGET_PER_CALL"] = "100"
import llm_magic
llm_magic.Client(".").settings.set("budget_per_call", 100)
client = llm_magic.Client(".", model="openai/gpt-5-mini")
client.settings.set("budget_per_call", 100)
try:
    client.complete("Why?", max_tokens=100)
except llm_magic.BudgetExceededError as error:
    print(error)
"""
    environment = {**os.environ, "LLM_MAGIC_BUDGET_PER_CALL": "0.000001"}

    done = run_python(code, env=environment)

    assert done.stdout.endswith(
        "LLM_MAGIC_BUDGET_PER_CALL is set outside, and is raised only there\n"
    ), done.stderr
    assert server.requests == []


def test_a_notebook_may_set_a_lower_cap_than_the_one_from_outside(monkeypatch):
    monkeypatch.setenv("LLM_MAGIC_BUDGET", "1")
    client = Client(".", model=MODEL)
    client.settings.set("budget", "0.000001")

    with pytest.raises(BudgetExceededError) as caught:
        client.complete("Why?", max_tokens=10)

    assert caught.value.limit == Decimal("0.000001")


def test_a_project_file_sets_caps(server):
    Path("pyproject.toml").write_text("[tool.llm_magic]\nbudget_per_day = 0.000001\n")

    with pytest.raises(BudgetExceededError, match="the budget of today is"):
        Client(".", model=MODEL).complete("Why?", max_tokens=10)


@pytest.mark.parametrize("value", ["a lot", -1, float("nan"), "inf", True, 10**9])
def test_a_cap_that_is_no_amount_is_told(value):
    with pytest.raises(ConfigError, match="it takes an amount in USD"), llm_magic.budget(value):
        pass


# Bounds


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "Why?"}],
        [{"role": "user", "content": "é😀" * 50}],
        [{"role": "user", "content": "half of a character: \ud83d"}],
        [{"role": "user", "content": [{"type": "text", "text": "Why?"}]}] * 20,
    ],
)
def test_the_bound_of_the_input_is_at_least_its_bytes(messages):
    request = llm_magic.Request("openai", "gpt-5-mini", messages, {"max_tokens": 5})
    texts = json.dumps(messages, ensure_ascii=False).encode(errors="surrogatepass")

    assert bounds.bound(request).input_tokens >= len(texts)


def test_an_inline_picture_is_bounded_by_the_largest_one():
    url = {"url": "data:image/png;base64," + "A" * 40}
    part = {"type": "image_url", "image_url": url}
    message = {"role": "user", "content": [part]}

    for provider, tokens in (("openai", 50_000), ("anthropic", 5_000)):
        bound = bounds.bound(llm_magic.Request(provider, "m", [message]))
        assert bound.unbounded == ()
        assert tokens < bound.input_tokens < tokens + 400


def test_several_answers_are_bounded_together():
    one = bounds.bound(llm_magic.Request("openai", "m", [], {"max_tokens": 7}))
    three = bounds.bound(llm_magic.Request("openai", "m", [], {"max_tokens": 7, "n": 3}))

    assert (one.output_tokens, three.output_tokens) == (7, 21)
    assert three.input_tokens > 3 * one.input_tokens


def bound_of(messages=(), *, api="chat", **parameters):
    return bounds.bound(llm_magic.Request("openai", "m", list(messages), parameters, api=api))


@pytest.mark.parametrize(
    "parameters",
    [
        {"max_tokens": 10, "extra_body": {"max_tokens": 1000}},
        {"extra_body": {"max_completion_tokens": 500, "n": 2}},
        {"max_tokens": 10, "http": {"form": "texts"}, "prompt": ["a"] * 100},
        {"max_tokens": 10, "http": {}, "prompt": [[1, 2]] * 100},
    ],
)
def test_the_output_of_all_that_is_asked_counts(parameters):
    assert bound_of(**parameters).output_tokens == 1000


@pytest.mark.parametrize(
    "parameters",
    [
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"cachedContent": "c"},
        {"prompt": {"id": "p"}},
        {"extra_body": {"web_search_options": {"search_context_size": "low"}}},
        {"contents": [{"parts": [{"fileData": {"fileUri": "u"}}]}]},
    ],
)
def test_what_the_provider_keeps_has_no_bound(parameters):
    assert bound_of(**parameters, max_tokens=5).unbounded


def test_what_an_assistant_said_aloud_has_no_bound():
    said = [{"role": "assistant", "audio": {"id": "audio_1"}}]

    assert bound_of(said, max_tokens=5).unbounded == ("audio that the provider keeps",)


def test_several_texts_of_the_older_api_are_bounded_together():
    texts = [{"role": "user", "content": "Once"}] * 3

    assert bound_of(texts, api="completion", max_tokens=10).output_tokens == 30


def test_a_cap_is_not_crossed_past_its_back(client, server):
    with llm_magic.budget("0.001"), pytest.raises(BudgetExceededError):
        client.complete("Why?", max_tokens=10, extra_body={"max_completion_tokens": 100_000})

    assert server.requests == []


def test_two_caps_on_one_scope_count_a_call_once(client, monkeypatch):
    monkeypatch.setenv("LLM_MAGIC_BUDGET_PER_PROCESS", "1")
    client.settings.set("budget_per_process", "0.5")
    before = {state.cap.limit: state.counter.settled for state in budgets.states(client.settings)}

    cost = client.complete("Why?", max_tokens=10).cost

    after = {state.cap.limit: state.counter.settled for state in budgets.states(client.settings)}
    assert {limit: after[limit] - before[limit] for limit in after} == dict.fromkeys(after, cost)


def test_a_ledger_that_is_rescued_keeps_what_is_set_aside(client):
    ledger = history.default()
    when = datetime.now(UTC)
    call = ledger.begin(started=when, reserved=Decimal("0.5"))
    row = ledger.rows()[0]
    ledger.finish(call, status="unknown", cost=None)
    Path("other").mkdir()
    other = history.at(Client("other").settings.workspace)

    other.adopt([{name: value for name, value in row.items() if value is not None}])

    (counter,) = other.counters([history.day_scope(when)]).values()
    assert (counter.settled, counter.reserved) == (0, Decimal("0.5"))
    other.finish(call, status="ok", cost=Decimal("0.25"))
    (counter,) = other.counters([history.day_scope(when)]).values()
    assert (counter.settled, counter.reserved) == (Decimal("0.25"), 0)
