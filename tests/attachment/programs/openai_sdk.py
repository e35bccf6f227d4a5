"""The SDK of OpenAI: chat in all four ways, embeddings, the older completions."""

import asyncio
import json

import llm_magic

attached = llm_magic.attach()

import openai  # noqa: E402

ASK = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Say hello."}]}
IN_PIECES = {**ASK, "stream": True, "stream_options": {"include_usage": True}}


async def awaited():
    async with openai.AsyncOpenAI() as client:
        whole = await client.chat.completions.create(**ASK, seed=1)
        pieces = [
            piece async for piece in await client.chat.completions.create(**IN_PIECES, seed=1)
        ]
    return [whole.to_dict(), [piece.to_dict() for piece in pieces]]


with openai.OpenAI() as client:
    results = [
        client.chat.completions.create(**ASK).to_dict(),
        [piece.to_dict() for piece in client.chat.completions.create(**IN_PIECES)],
        client.embeddings.create(model="text-embedding-3-small", input=["a", "b"]).to_dict(),
        client.completions.create(model="davinci-002", prompt="Once").to_dict(),
        asyncio.run(awaited()),
    ]
attached.detach()
print(json.dumps(results))
