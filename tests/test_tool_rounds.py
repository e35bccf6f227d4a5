"""The opt-in loop that runs the user's functions, structured answers, and files in prompts."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llm_magic.client import Client
from llm_magic.exceptions import ParameterError, ReplayMissError, SchemaError
from llm_magic.testing import FakeServer
from llm_magic.types import Completion

MODELS = ["openai/gpt-5-mini", "anthropic/claude-sonnet-4-6"]
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def weather() -> Callable[[str], dict[str, Any]]:
    """A tool that counts how often it runs."""

    def weather(city: str) -> dict[str, Any]:
        """Temperature of a city.

        Parameters
        ----------
        city : str
            Name of the city.
        """
        asked.append(city)
        return {"city": city, "celsius": 20 + len(asked)}

    asked: list[str] = []
    weather.asked = asked  # type: ignore[attr-defined]
    return weather


def ask(client: Client, wait: str, *arguments: Any, **options: Any) -> Completion:
    if wait == "sync":
        return client.complete(*arguments, **options)
    return asyncio.run(client.acomplete(*arguments, **options))


def script(server: FakeServer) -> None:
    cities = ({"name": "weather", "arguments": {"city": city}} for city in ("Oslo", "Rome"))
    server.reply(tool_calls=list(cities))
    server.reply("Oslo is colder.")


@pytest.mark.parametrize("wait", ["sync", "async"])
@pytest.mark.parametrize("model", MODELS)
def test_functions_are_run_and_their_results_sent_back(
    client: Client, server: FakeServer, weather: Any, model: str, wait: str
) -> None:
    script(server)

    completion = ask(client, wait, "Colder?", model=model, tools=[weather], max_tool_rounds=3)

    assert completion.text == "Oslo is colder."
    assert weather.asked == ["Oslo", "Rome"]
    assert len(completion.rounds) == 1
    sent = str(server.last.body)
    assert "21" in sent
    assert "22" in sent
    assert server.count == 2


@pytest.mark.parametrize("wait", ["sync", "async"])
@pytest.mark.parametrize("model", MODELS)
def test_a_replay_does_not_run_the_functions_again(
    client: Client, server: FakeServer, weather: Any, model: str, wait: str
) -> None:
    script(server)
    options: dict[str, Any] = {"model": model, "tools": [weather], "max_tool_rounds": 3}
    live = ask(client, wait, "Colder?", **options)
    client.shelf.save("analysis")

    replay = ask(client, wait, "Colder?", mode="REPLAY", **options)

    assert (replay.source, replay.text) == ("replay", live.text)
    assert len(weather.asked) == 2
    assert server.count == 2


def test_rerun_tools_runs_them_and_a_new_result_is_a_new_request(
    client: Client, server: FakeServer, weather: Any
) -> None:
    script(server)
    options: dict[str, Any] = {"model": MODELS[0], "tools": [weather], "max_tool_rounds": 3}
    client.complete("Colder?", **options)

    with pytest.raises(ReplayMissError):
        client.complete("Colder?", mode="REPLAY", rerun_tools=True, **options)

    assert len(weather.asked) == 4


def test_results_that_are_not_recorded_are_a_miss_that_says_so(
    client: Client, server: FakeServer, weather: Any
) -> None:
    script(server)
    client.complete("Colder?", model=MODELS[0], tools=[weather])

    with pytest.raises(ReplayMissError, match="what the functions returned is not recorded"):
        client.complete(
            "Colder?", model=MODELS[0], tools=[weather], max_tool_rounds=1, mode="REPLAY"
        )

    assert weather.asked == []


def test_without_rounds_the_calls_are_left_to_the_caller(
    client: Client, server: FakeServer, weather: Any
) -> None:
    script(server)

    completion = client.complete("Colder?", model=MODELS[0], tools=[weather])

    assert [call.function.name for call in completion.choices[0].message.tool_calls] == [
        "weather",
        "weather",
    ]
    assert weather.asked == []
    (tool,) = server.last.body["tools"]
    assert tool["function"]["description"] == "Temperature of a city."
    assert tool["function"]["parameters"]["required"] == ["city"]


def test_the_last_round_ends_the_conversation(
    client: Client, server: FakeServer, weather: Any
) -> None:
    for city in ("Oslo", "Rome", "Bonn"):
        server.reply(tool_calls=[{"name": "weather", "arguments": {"city": city}}])

    completion = client.complete("Colder?", model=MODELS[0], tools=[weather], max_tool_rounds=2)

    assert weather.asked == ["Oslo", "Rome"]
    assert completion.choices[0].finish_reason == "tool_calls"


@dataclass
class Person:
    """Somebody."""

    name: str
    age: int


@pytest.mark.parametrize("wait", ["sync", "async"])
@pytest.mark.parametrize("model", MODELS)
def test_a_schema_gives_parsed_data_live_and_replayed(
    client: Client, server: FakeServer, model: str, wait: str
) -> None:
    server.reply('{"name": "Ada", "age": 36}')

    live = ask(client, wait, "Who?", model=model, schema=Person)
    replay = ask(client, wait, "Who?", model=model, schema=Person, mode="REPLAY")

    assert live.parsed == replay.parsed == Person("Ada", 36)
    assert "age" in str(server.last.body)


def test_an_answer_that_does_not_fit_is_stored_and_comes_with_the_error(
    client: Client, server: FakeServer
) -> None:
    server.reply('{"name": "Ada", "age": "old"}')

    with pytest.raises(SchemaError) as caught:
        client.complete("Who?", model=MODELS[0], schema="name, age int")

    assert caught.value.completion.text == '{"name": "Ada", "age": "old"}'
    assert caught.value.completion.cost is not None
    (row,) = client.history.rows()
    assert row["status"] == "ok"
    assert server.count == 1
    with pytest.raises(SchemaError):
        client.complete("Who?", model=MODELS[0], schema="name, age int", mode="REPLAY")


def test_a_stream_with_a_schema_is_parsed_at_its_end(client: Client, server: FakeServer) -> None:
    server.reply('{"name": "Ada", "age": 36}')

    with client.stream("Who?", model=MODELS[0], schema="name, age int") as stream:
        for _ in stream:
            pass

    assert stream.completion.parsed == {"name": "Ada", "age": 36}


@pytest.mark.parametrize("model", MODELS)
def test_a_file_goes_with_the_prompt_and_is_keyed_by_its_bytes(
    client: Client, server: FakeServer, model: str, tmp_path: Path
) -> None:
    path = tmp_path / "pixel.png"
    path.write_bytes(PIXEL)
    encoded = base64.b64encode(PIXEL).decode()

    by_path = client.complete("What is it?", model=model, files=path)
    by_bytes = client.complete("What is it?", model=model, files=[PIXEL])
    in_content = client.complete(
        [{"role": "user", "content": ["What is it?", path]}], model=model, mode="REPLAY"
    )

    assert encoded in str(server.last.body)
    assert server.count == 1
    assert (by_bytes.source, in_content.source) == ("replay", "replay")
    assert by_path.key == by_bytes.key == in_content.key
    assert client.complete("What is it?", model=model, files=[PIXEL + b"\0"]).source == "live"
    lines = [variant.line for _, _, variant in client.shelf.recordings.all()]
    assert not any(encoded in line for line in lines)
    assert client.shelf.adopt("analysis") == 2
    assert client.shelf.save("analysis").total == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_tool_rounds": 1}, "needs a Python function"),
        ({"max_tool_rounds": -1}, "a number from 0"),
        ({"schema": 7}, "is no schema"),
        ({"files": "no-such-file.png"}, "no-such-file.png"),
    ],
)
def test_misuse_is_told_before_anything_is_sent(
    client: Client, server: FakeServer, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        client.complete("Why?", model=MODELS[0], **options)

    assert server.count == 0


def test_a_stream_cannot_run_rounds(client: Client, weather: Any) -> None:
    with pytest.raises(ParameterError, match=r"goes with complete\(\)"):
        client.stream("Why?", model=MODELS[0], tools=[weather], max_tool_rounds=1)
