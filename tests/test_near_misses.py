"""Two requests that differ never share an answer, however little; two that are one do.

The pairs go the whole way: one is captured, the other one is asked in REPLAY. What enters a key,
field by field, is tested in ``test_recordings.py``.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_magic.client import Client
from llm_magic.exceptions import ReplayMissError
from llm_magic.recordings import key_of
from llm_magic.types import Request

Ask = dict[str, Any]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """One for all pairs, because opening a store is what takes long; each leaves it empty."""
    client = Client(tmp_path_factory.mktemp("work"), model="echo/echo")
    yield client
    client.close()


@contextmanager
def captured(client: Client, prompt: Any, **options: Any) -> Iterator[None]:
    """The answer to a request is recorded for this block, and no other one."""
    answer = client.complete(prompt, **options, mode="CAPTURE")
    try:
        yield
    finally:
        assert client.shelf.drop(answer.key, 0, None)


def user(content: Any, **more: Any) -> Ask:
    return {"role": "user", "content": content, **more}


def ask(prompt: Any = "Why?", **options: Any) -> Ask:
    return {"prompt": prompt, **options}


def png(last: int) -> bytes:
    """The beginning of a picture, and one byte of it."""
    return b"\x89PNG\r\n\x1a\n" + b"\0" * 20 + bytes([last])


def tool(name: str = "weather", **schema: Any) -> Ask:
    parameters = {"type": "object", "properties": {"unit": {"type": "string", **schema}}}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


NEVER_SHARE: dict[str, tuple[Ask, Ask]] = {
    "addresses": (ask("What is 0xDEADBEEF?"), ask("What is 0xCAFEBABE?")),
    "line numbers": (ask('File "a.py", line 12, in f'), ask('File "a.py", line 99, in f')),
    "folders": (ask("Read /tmp/tmpabc1"), ask("Read /tmp/tmpabc2")),
    "numbers": (ask("Is 7 prime?"), ask("Is 8 prime?")),
    "case": (ask("Why?"), ask("why?")),
    "white space at the end": (ask("Why?"), ask("Why? ")),
    "white space inside": (ask("a b"), ask("a  b")),
    "tab or space": (ask("a b"), ask("a\tb")),
    "no-break space": (ask("a b"), ask("a\u00a0b")),
    "line ends": (ask("a\nb"), ask("a\r\nb")),
    "composed or not": (ask("caf\u00e9"), ask("cafe\u0301")),
    "letters that look alike": (ask("A"), ask("\u0391")),
    "invisible letter": (ask("Why?"), ask("Why?\u200b")),
    "quotes": (ask('Say "hi"'), ask("Say \u201chi\u201d")),
    "a text that looks like JSON": (ask('{"a": 1}'), ask('{"a":1}')),
    "text or parts": (ask("Why?"), ask([user([{"type": "text", "text": "Why?"}])])),
    "one part or two": (
        ask([user([{"type": "text", "text": "ab"}])]),
        ask([user([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])]),
    ),
    "order of parts": (
        ask([user([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])]),
        ask([user([{"type": "text", "text": "b"}, {"type": "text", "text": "a"}])]),
    ),
    "role": (ask([user("Why?")]), ask([user("Why?", role="system")])),
    "system, or in the prompt": (ask("Why?", system="Be brief."), ask("Be brief. Why?")),
    "system": (ask(system="Be brief."), ask(system="Be brief")),
    "empty system": (ask(), ask(system="")),
    "system or developer": (
        ask([{"role": "system", "content": "a"}, user("b")]),
        ask([{"role": "developer", "content": "a"}, user("b")]),
    ),
    "one message or two": (ask([user("a"), user("b")]), ask([user("a\nb")])),
    "order of messages": (ask([user("a"), user("b")]), ask([user("b"), user("a")])),
    "name of the speaker": (ask([user("Why?")]), ask([user("Why?", name="Ada")])),
    "image": (ask(files=png(0)), ask(files=png(1))),
    "image or none": (ask(), ask(files=png(0))),
    "order of images": (ask(files=[png(0), png(1)]), ask(files=[png(1), png(0)])),
    "address of an image": (
        ask(files="https://example.org/a.png"),
        ask(files="https://example.org/b.png"),
    ),
    "model": (ask(model="echo/echo"), ask(model="echo/Echo")),
    "kind of API": (ask("Once upon"), ask("Once upon", api="completion")),
    "base URL": (ask(api_base="http://localhost:1/v1"), ask(api_base="http://localhost:2/v1")),
    "base URL or none": (ask(), ask(api_base="http://localhost:1/v1")),
    "host of the base URL": (ask(api_base="http://a.test/v1"), ask(api_base="http://b.test/v1")),
    "seed": (ask(seed=1), ask(seed=2)),
    "seed or none": (ask(), ask(seed=0)),
    "temperature, or the provider's own": (ask(), ask(temperature=1)),
    "temperature": (ask(temperature=0), ask(temperature=1e-9)),
    "temperature or top_p": (ask(temperature=0.5), ask(top_p=0.5)),
    "one or true": (ask(logprobs=1), ask(logprobs=True)),
    "zero or false": (ask(logprobs=0), ask(logprobs=False)),
    "one or text": (ask(seed=1), ask(seed="1")),
    "empty list or none": (ask(), ask(stop=[])),
    "text or list": (ask(stop="a"), ask(stop=["a"])),
    "order of a list": (ask(stop=["a", "b"]), ask(stop=["b", "a"])),
    "null within": (ask(reasoning={}), ask(reasoning={"effort": None})),
    "parameter that nobody knows": (ask(), ask(new_thing=1)),
    "most tokens": (ask(max_tokens=100), ask(max_tokens=101)),
    "its other name": (ask(max_tokens=100), ask(max_completion_tokens=100)),
    "order of tools": (
        ask(tools=[tool("a"), tool("b")]),
        ask(tools=[tool("b"), tool("a")]),
    ),
    "tools or none": (ask(), ask(tools=[tool()])),
    "order of an enum": (
        ask(tools=[tool(enum=["C", "F"])]),
        ask(tools=[tool(enum=["F", "C"])]),
    ),
    "description of a tool": (
        ask(tools=[tool(description="Degrees")]),
        ask(tools=[tool(description="degrees")]),
    ),
    "which tool": (
        ask(tools=[tool()], tool_choice="auto"),
        ask(tools=[tool()], tool_choice="required"),
    ),
    "schema": (ask(schema="age int"), ask(schema="age float")),
    "schema or none": (ask(), ask(schema="age int")),
    # Named as keys are, and words for the model all the same.
    "variable of a prompt": (
        ask(extra_body={"prompt": {"variables": {"secret": "alice"}}}),
        ask(extra_body={"prompt": {"variables": {"secret": "bob"}}}),
    ),
    "field of a document": (
        ask(extra_body={"documents": [{"password": "A"}]}),
        ask(extra_body={"documents": [{"password": "B"}]}),
    ),
    "what is searched for": (
        ask(extra_body={"query": {"key": "apple"}}),
        ask(extra_body={"query": {"key": "pear"}}),
    ),
    "address that is read": (
        ask(extra_body={"url": "https://example.org/doc?key=1"}),
        ask(extra_body={"url": "https://example.org/doc?key=2"}),
    ),
    "example of a tool": (
        ask(tools=[{**tool(), "examples": [{"token": "a"}]}]),
        ask(tools=[{**tool(), "examples": [{"token": "b"}]}]),
    ),
    "cache_seed": (ask(cache_seed=1), ask(cache_seed=2)),
    "cache_seed or none": (ask(), ask(cache_seed=0)),
    "number or text as cache_seed": (ask(cache_seed=1), ask(cache_seed="1")),
}

ALWAYS_SHARE: dict[str, tuple[Ask, Ask]] = {
    "one number": (ask(temperature=1), ask(temperature=1.0)),
    "no number less than none": (ask(temperature=0.0), ask(temperature=-0.0)),
    "large number": (ask(seed=10**15), ask(seed=1e15)),
    "order of parameters": (ask(seed=1, top_p=0.5), ask(top_p=0.5, seed=1)),
    "order of keys": (
        ask([{"role": "user", "content": "Why?"}]),
        ask([{"content": "Why?", "role": "user"}]),
    ),
    "order of keys within": (
        ask(response_format={"type": "json_object", "strict": True}),
        ask(response_format={"strict": True, "type": "json_object"}),
    ),
    "list or tuple": (ask(stop=["a", "b"]), ask(stop=("a", "b"))),
    "text or its message": (ask("Why?"), ask([user("Why?")])),
    "system or its message": (
        ask("Why?", system="Be brief."),
        ask([{"role": "system", "content": "Be brief."}, user("Why?")]),
    ),
    # None says that nothing is sent, so what is sent is the same.
    "None or absent": (ask(), ask(temperature=None)),
    "timeout": (ask(), ask(timeout=3)),
    "retries": (ask(), ask(num_retries=5)),
    "fallbacks": (ask(), ask(fallbacks=["echo/other"])),
    "key": (ask(api_key="sk-one-0123456789abcdef"), ask(api_key="sk-two-0123456789abcdef")),
    "metadata": (ask(), ask(metadata={"user": "Ada"})),
    "key of a gateway": (
        ask(extra_body={"gateway": {"api_key": "one"}}),
        ask(extra_body={"gateway": {"api_key": "two"}}),
    ),
    "key of a server with tools": (
        ask(tools=[{"type": "mcp", "headers": {"Authorization": "Bearer one"}}]),
        ask(tools=[{"type": "mcp", "headers": {"Authorization": "Bearer two"}}]),
    ),
    "password in the base URL": (
        ask(api_base="http://localhost:1/v1"),
        ask(api_base="http://ada:secret@localhost:1/v1/?token=secret"),
    ),
    "the same image, named or not": (
        ask(files=png(0)),
        ask([user([{"type": "text", "text": "Why?"}, png(0)])]),
    ),
}


@pytest.mark.parametrize("pair", NEVER_SHARE.values(), ids=NEVER_SHARE)
def test_what_differs_never_shares_an_answer(pair: tuple[Ask, Ask], client: Client) -> None:
    one, other = pair

    with captured(client, **one), pytest.raises(ReplayMissError):
        client.complete(**other, mode="REPLAY")


@pytest.mark.parametrize("pair", ALWAYS_SHARE.values(), ids=ALWAYS_SHARE)
def test_what_is_the_same_request_shares_its_answer(pair: tuple[Ask, Ask], client: Client) -> None:
    one, other = pair

    with captured(client, **one):
        assert client.complete(**other, mode="REPLAY").source == "replay"


def test_a_stream_and_a_whole_answer_share(client: Client) -> None:
    with captured(client, "Why?"):
        whole = client.complete("Why?", mode="REPLAY")
        pieces = list(client.stream("Why?", mode="REPLAY"))

    assert "".join(chunk.text for chunk in pieces) == whole.text


# Random requests, and random changes of one place in them

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcABC"), inner, max_size=3)
    ),
    max_leaves=6,
)
# The offline provider takes anything for these.
PLAIN_NAMES = ["logit_bias", "seed", "temperature", "top_p", "user"]
NAMES = [*PLAIN_NAMES, "max_tokens", "response_format", "tools"]
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "system", "assistant"]), "content": TEXT},
    optional={"name": TEXT},
)
ASKED = st.fixed_dictionaries(
    {
        "messages": st.lists(MESSAGES, min_size=1, max_size=3),
        "parameters": st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4),
    }
)
SEEDS = st.integers(0, 2**32)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in a tree."""
    yield at
    if isinstance(value, (dict, list)):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*at, name))


def mutated(tree: Any, seed: int, *, below: int = 2) -> Any:
    """The tree with one leaf, one position or one key of it changed."""
    chance = random.Random(seed)
    copied = copy.deepcopy(tree)
    *way, last = chance.choice([place for place in places(tree) if len(place) >= below])
    holder = copied
    for name in way:
        holder = holder[name]
    is_message = way == ["messages"]
    if is_message or chance.random() < 0.3:
        _move(holder, last, chance)
    else:
        holder[last] = _other(holder[last], chance)
    return copied


def _move(holder: Any, name: Any, chance: random.Random) -> None:
    """Rename a key; leave an item out, double it, or put it elsewhere."""
    if isinstance(holder, dict):
        holder[f"{name}{chance.choice('xX ')}"] = holder.pop(name)
    elif chance.random() < 0.5 and len(holder) > 1:
        holder.insert(chance.randrange(len(holder)), holder.pop(name))
    else:
        holder.insert(chance.randrange(len(holder) + 1), copy.deepcopy(holder[name]))


def _other(old: Any, chance: random.Random) -> Any:
    """A value that is nearly the old one; now and then one that is equal to it in JSON."""
    if isinstance(old, bool) or old is None:
        return chance.choice([True, False, None, 0, 1, 0.0, "true", ""])
    if isinstance(old, (int, float)):
        close = [float(old), old + 1, -old, str(old), bool(old), [old], old * (1 + 2**-52)]
        return chance.choice([each for each in close if not _is_infinite(each)])
    if isinstance(old, str):
        at = chance.randrange(len(old) + 1)
        return chance.choice(
            [
                old[:at] + chance.choice(" \t\n\u00a0\u200b0aA") + old[at:],
                old[:at] + old[at + 1 :],
                old.swapcase(),
                old.strip(),
                [old],
                None,
            ]
        )
    if isinstance(old, list):
        return chance.choice([old[::-1], [*old, None], old[:-1], {}])
    return chance.choice([dict(reversed(old.items())), {**old, "z": None}, [], [old]])


def _is_infinite(value: Any) -> bool:
    return isinstance(value, float) and not abs(value) < float("inf")


def is_keyable(tree: Any) -> bool:
    try:
        rfc8785.dumps(tree)
    except rfc8785.CanonicalizationError:
        return False
    return True


def same(one: Any, other: Any) -> bool:
    """Whether two trees are one in JSON, by the reference implementation."""
    return rfc8785.dumps(one) == rfc8785.dumps(other)


def key(tree: Ask) -> str:
    return key_of(Request("openai", "gpt-x", **tree))


# Six in seven of them change something: 12,500 are more than 10,000 near misses.
EXAMPLES, MUTATIONS = 500, 25


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(ASKED, st.lists(SEEDS, min_size=MUTATIONS, max_size=MUTATIONS))
def test_ten_thousand_changes_of_one_place_each_change_the_key(asked: Ask, seeds: Any) -> None:
    own = key(asked)

    for seed in seeds:
        other = mutated(asked, seed)
        if is_keyable(other):
            assert (key(other) == own) == same(asked, other), json.dumps(other)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    parameters=st.dictionaries(st.sampled_from(PLAIN_NAMES), VALUES.filter(bool), min_size=1),
    prompt=st.text(st.characters(codec="utf-8"), min_size=1, max_size=12),
    seeds=st.lists(SEEDS, min_size=10, max_size=10),
)
def test_a_changed_request_never_replays_the_answer_of_the_old_one(
    parameters: Ask, prompt: str, seeds: list[int], client: Client
) -> None:
    with captured(client, prompt, **parameters):
        for other in (mutated(parameters, seed, below=1) for seed in seeds):
            if is_keyable(other) and not same(sent(parameters), sent(other)):
                with pytest.raises(ReplayMissError):
                    client.complete(prompt, **other, mode="REPLAY")


def sent(parameters: Ask) -> Ask:
    """What of them is sent: None stands for nothing."""
    return {name: value for name, value in parameters.items() if value is not None}
