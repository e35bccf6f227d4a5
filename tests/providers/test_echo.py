import asyncio
import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magic.providers import catalog
from llm_magic.providers.assembly import Assembly
from llm_magic.types import Request, Transport

ECHO = catalog.provider("echo")
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "mood": {"enum": ["good", "bad"]}},
    "required": ["city"],
}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
TIME = {"type": "function", "function": {"name": "time", "description": "what time it is"}}
QUESTION = {"role": "user", "content": "What is the weather in Oslo?"}


def ask(*messages, model="demo", **parameters):
    request = Request("echo", model, messages or [QUESTION], parameters)
    response = ECHO.send(request, Transport())
    chunks = list(ECHO.stream(request, Transport()))
    assembly = Assembly()
    for chunk in chunks:
        assembly.add(chunk)
    # Whatever a test asks: streamed it is the same, and asked again too.
    assert assembly.response() == response == ECHO.send(request, Transport())
    assert chunks[-1].usage == response.usage
    assert all("content" in choice.delta for chunk in chunks for choice in chunk.choices)
    return response


def text(response):
    return response.choices[0].message.content


def test_the_answer_quotes_the_last_user_message():
    response = ask(
        QUESTION, {"role": "assistant", "content": "no"}, {"role": "user", "content": "a\nb"}
    )

    assert "echo" in text(response)
    assert text(response).endswith("> a\n> b")
    assert response.model == "demo"
    assert response.created == 0
    assert response.choices[0].finish_reason == "stop"


def test_choices_and_seeds_differ_visibly():
    answers = [choice.message.content for choice in ask(n=3, temperature=1).choices]

    assert len(set(answers)) == 3
    assert answers[2].endswith("(Answer 3 of 3.)")
    assert text(ask(seed=1)) != text(ask(seed=2))


@pytest.mark.parametrize(
    ("parameters", "expected", "reason"),
    [
        ({"stop": "Oslo"}, "in ", "stop"),
        ({"stop": ["nowhere", "in Oslo"]}, "the weather ", "stop"),
        ({"stop": ["nowhere"]}, "Oslo?", "stop"),
        ({"max_tokens": 2}, "This is", "length"),
        ({"max_completion_tokens": 0}, "", "length"),
        ({"max_tokens": 500}, "Oslo?", "stop"),
    ],
)
def test_stop_sequences_and_limits_end_the_answer(parameters, expected, reason):
    response = ask(**parameters)

    assert text(response).endswith(expected)
    assert response.choices[0].finish_reason == reason
    assert response.usage.completion_tokens <= parameters.get("max_tokens", 100)


def test_usage_counts_words():
    usage = ask(max_tokens=4).usage

    assert usage == {"prompt_tokens": 6, "completion_tokens": 4, "total_tokens": 10}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, "weather"),
        ("auto", "weather"),
        ("required", "weather"),
        ({"type": "function", "function": {"name": "time"}}, "time"),
        ("none", None),
    ],
)
def test_a_tool_is_called_as_it_was_asked_for(choice, expected):
    response = ask(tools=[TIME, WEATHER], tool_choice=choice)
    calls = response.choices[0].message.tool_calls or []

    assert [call.function.name for call in calls] == ([expected] if expected else [])
    assert response.choices[0].finish_reason == ("tool_calls" if expected else "stop")


def test_the_arguments_of_a_call_fit_its_schema_and_the_question():
    [call] = ask(tools=[WEATHER]).choices[0].message.tool_calls
    arguments = json.loads(call.function.arguments)

    jsonschema.validate(arguments, SCHEMA)
    assert arguments == {"city": "Oslo", "mood": "good"}


def test_a_tool_result_is_answered_in_words():
    [call] = ask(tools=[WEATHER]).choices[0].message.tool_calls
    said = {"role": "assistant", "content": None, "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": call.id, "content": "5 °C"}

    response = ask(QUESTION, said, result, tools=[WEATHER])

    assert text(response).endswith("> 5 °C")
    assert response.choices[0].message.tool_calls is None


def test_a_schema_is_filled():
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}

    jsonschema.validate(json.loads(text(ask(response_format=wanted))), SCHEMA)


def test_json_without_a_schema_is_an_object():
    answer = json.loads(text(ask(response_format={"type": "json_object"})))

    assert answer["echo"] == QUESTION["content"]


def test_awaited_it_is_the_same():
    request = Request("echo", "demo", [QUESTION])

    async def both():
        answer = await ECHO.asend(request, Transport())
        return answer, [chunk async for chunk in ECHO.astream(request, Transport())]

    answer, chunks = asyncio.run(both())

    assert answer == ECHO.send(request, Transport())
    assert chunks == list(ECHO.stream(request, Transport()))


@given(st.text(), st.integers(1, 3), st.integers(0, 20), st.text(max_size=3))
def test_the_words_of_a_stream_join_to_the_same_bytes(prompt, n, limit, stop):
    ask({"role": "user", "content": prompt}, n=n, max_tokens=limit, stop=stop)
