"""Real programs: what they captured they print again in REPLAY, without a server or a key."""

from __future__ import annotations

import sys

import pytest

from llm_magic import history

# The program, and how many requests it makes.
OUR_PYTHON = {"plain_httpx2": 4, "openai_sdk": 6, "anthropic_sdk": 5}
OTHER_PYTHON = {
    "plain_httpx": 4,
    "litellm_calls": 8,
    "langchain_openai_chat": 5,
    "pydantic_ai_agent": 3,
}


def assert_replays(run, server, program, python, calls):
    live = run(program, "CAPTURE", python)
    server.close()
    replayed = run(program, "REPLAY", python, keys=False)

    assert (replayed, server.count) == (live, calls)
    frame = history.to_pandas()
    assert list(frame["source"]) == ["live"] * calls + ["replay"] * calls
    assert set(frame["status"]) == {"ok"}
    assert frame["input_tokens"].notna().any()
    # A stream that was not asked for its usage costs what nobody knows, never nothing.
    assert (frame[frame["source"] == "live"]["cost"].dropna() > 0).all()


@pytest.mark.parametrize(("program", "calls"), OUR_PYTHON.items())
def test_a_program_of_an_sdk_prints_the_same_in_replay(run_program, server, program, calls):
    assert_replays(run_program, server, program, sys.executable, calls)


@pytest.mark.parametrize(("program", "calls"), OTHER_PYTHON.items())
def test_a_program_of_a_framework_prints_the_same_in_replay(
    run_program, server, others, program, calls
):
    if program == "pydantic_ai_agent":
        server.reply(tool_calls=[{"name": "weather", "arguments": {"city": "Oslo"}}])

    assert_replays(run_program, server, program, others, calls)
