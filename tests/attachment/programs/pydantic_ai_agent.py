"""pydantic-ai: an agent of OpenAI's chat API, whole and in pieces."""

import asyncio
import json

import llm_magic

attached = llm_magic.attach()

from pydantic_ai import Agent  # noqa: E402
from pydantic_ai.models.openai import OpenAIChatModel  # noqa: E402

agent = Agent(OpenAIChatModel("gpt-5-mini"), instructions="Be brief.")


@agent.tool_plain
def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


async def main():
    whole = await agent.run("What is the weather?")
    async with agent.run_stream("pieces") as stream:
        pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
    return [whole.output, whole.usage.tool_calls, pieces]


results = asyncio.run(main())
attached.detach()
print(json.dumps(results))
