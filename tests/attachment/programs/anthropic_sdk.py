"""The SDK of Anthropic: messages in all four ways."""

import asyncio
import json

import anthropic

import llm_magic

ASK = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Say hello."}],
}


async def awaited():
    async with anthropic.AsyncAnthropic() as client:
        whole = await client.messages.create(**ASK, system="Be brief.")
        async with client.messages.stream(**ASK, system="Be brief.") as stream:
            pieces = [text async for text in stream.text_stream]
    return [whole.to_dict(), pieces]


with llm_magic.attach(), llm_magic.run("the same twice"), anthropic.Anthropic() as client:
    with client.messages.stream(**ASK) as stream:
        pieces = list(stream.text_stream)
        last = stream.get_final_message().to_dict()
    raw = [event.to_dict() for event in client.messages.create(**ASK, stream=True)]
    results = [client.messages.create(**ASK).to_dict(), pieces, last, raw, asyncio.run(awaited())]
print(json.dumps(results))
