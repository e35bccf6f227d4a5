"""LiteLLM: OpenAI through the SDK, Anthropic through a client of its own, awaited on aiohttp."""

import asyncio
import json

import llm_magic

attached = llm_magic.attach()

import litellm  # noqa: E402

ASK = {"messages": [{"role": "user", "content": "Say hello."}]}
MODELS = ("openai/gpt-5-mini", "anthropic/claude-sonnet-4-6")


def texts(pieces):
    return [piece.choices[0].delta.content for piece in pieces if piece.choices]


async def awaited(model):
    whole = await litellm.acompletion(model=model, **ASK, max_tokens=50)
    stream = await litellm.acompletion(model=model, **ASK, max_tokens=50, stream=True)
    return [whole.choices[0].message.content, texts([piece async for piece in stream])]


async def all_awaited():
    return [await awaited(model) for model in MODELS]


results = []
for model in MODELS:
    whole = litellm.completion(model=model, **ASK)
    results.append([whole.choices[0].message.content, whole.usage.model_dump(mode="json")])
    results.append(texts(litellm.completion(model=model, **ASK, stream=True)))
results.append(asyncio.run(all_awaited()))
attached.detach()
print(json.dumps(results))
