"""LangChain: a chat model of OpenAI in all four ways, and embeddings."""

import asyncio
import json

import llm_magic

attached = llm_magic.attach()

from langchain_openai import ChatOpenAI, OpenAIEmbeddings  # noqa: E402

model = ChatOpenAI(model="gpt-5-mini")


async def awaited():
    whole = await model.ainvoke("awaited")
    return [whole.content, [piece.content async for piece in model.astream("awaited")]]


embeddings = OpenAIEmbeddings(model="text-embedding-3-small", check_embedding_ctx_length=False)
results = [
    model.invoke("whole").model_dump(mode="json", exclude={"id"}),
    [piece.content for piece in model.stream("pieces")],
    embeddings.embed_documents(["one", "two"]),
    asyncio.run(awaited()),
]
attached.detach()
print(json.dumps(results))
