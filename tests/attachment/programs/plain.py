"""A client library by itself: waiting, awaited, in pieces."""

import asyncio
import json
import os

import llm_magic

URL = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
HEADERS = {"authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', 'none')}"}


def body(text, **more):
    return {"model": "gpt-5-mini", "messages": [{"role": "user", "content": text}], **more}


async def awaited(library):
    async with library.AsyncClient(headers=HEADERS) as client:
        whole = (await client.post(URL, json=body("awaited"))).text
        async with client.stream("POST", URL, json=body("awaited", stream=True)) as response:
            pieces = b"".join([piece async for piece in response.aiter_raw()])
    return [whole, pieces.decode()]


def main(library):
    with llm_magic.attach():
        whole = library.post(URL, json=body("whole"), headers=HEADERS)
        asked = body("pieces", stream=True)
        with library.stream("POST", URL, json=asked, headers=HEADERS) as response:
            lines = list(response.iter_lines())
        results = [whole.status_code, whole.text, lines, asyncio.run(awaited(library))]
    print(json.dumps(results))
