import json

import pytest

from llm_magic.exceptions import IncompleteError, OverloadedError, ProviderError
from llm_magic.providers import catalog
from llm_magic.providers.assembly import Assembly
from llm_magic.providers.openai import reader_of
from llm_magic.providers.reading import checked, parsed
from llm_magic.types import Request, attributes

REQUEST = Request("openai", "gpt-x", [])


def answer(**choice):
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, **choice}
    return {"id": "c", "object": "chat.completion", "choices": [choice]}


def event(data):
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def piece(content, finish_reason=None):
    delta = {"content": content}
    return event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]})


def read(*pieces):
    reader = reader_of(catalog.entry("openai"), REQUEST)
    chunks = [chunk for data in pieces for chunk in reader.feed(data)]
    return chunks + list(reader.end())


@pytest.mark.parametrize("text", [b"<html>Please log in</html>", b"", b"\xff\xfe", b"[1]", "null"])
def test_what_is_not_an_answer_is_shown_and_the_base_url_suspected(text):
    with pytest.raises(ProviderError, match=r"openai/gpt-x sent .* is the base URL") as caught:
        parsed(text, REQUEST)

    assert caught.value.billed is None
    assert caught.value.__context__ is None


def test_a_login_page_instead_of_a_stream_is_not_an_empty_answer():
    with pytest.raises(ProviderError, match="Please log in"):
        read(b"<html>\nPlease ", b"log in\n</html>")


def test_an_error_with_status_200_is_an_error():
    body = {"error": {"type": "overloaded_error", "message": "busy"}}

    with pytest.raises(OverloadedError, match="busy"):
        parsed(json.dumps(body), REQUEST)
    with pytest.raises(OverloadedError, match="busy") as caught:
        read(piece("so far"), event(body))

    assert caught.value.partial == "so far"


@pytest.mark.parametrize("body", [{}, {"choices": None}, {"choices": []}, {"detail": "Not Found"}])
def test_an_answer_without_choices_is_none(body):
    with pytest.raises(ProviderError, match="without choices"):
        checked(attributes(body), REQUEST)


@pytest.mark.parametrize("reason", [{}, {"finish_reason": None}, {"finish_reason": ""}])
def test_an_answer_without_a_finish_reason_is_not_whole(reason):
    with pytest.raises(IncompleteError, match=r"without a finish reason.*ask again") as caught:
        checked(attributes(answer(**reason)), REQUEST)

    assert (caught.value.partial, caught.value.billed) == ("hi", None)


def test_an_answer_is_given_back_as_it_came():
    body = attributes(answer(finish_reason="stop", strange=1))

    assert checked(body, REQUEST) is body


@pytest.mark.parametrize("pieces", [(), (piece("hi"),), (piece("hi"), b"data: [DONE]\n\n")])
def test_a_stream_that_ends_before_the_answer_is_incomplete(pieces):
    with pytest.raises(IncompleteError) as caught:
        read(*pieces)

    assert caught.value.partial == ("hi" if pieces else "")


def test_a_server_that_does_not_stream_is_understood():
    body = json.dumps(answer(finish_reason="stop"), indent=1).encode()
    assembly = Assembly()

    for chunk in read(body[:20], body[20:]):
        assembly.add(chunk)

    assert assembly.text == "hi"
    assert assembly.complete


def test_chunks_are_made_safe_to_read():
    odd = [
        event({"id": "x"}),
        event({"choices": None}),
        event({"choices": [{"index": 0}]}),
        event({"choices": [{"index": 0, "delta": None}]}),
        event({"choices": [{"index": 0, "delta": {}}]}),
        piece("hi", "stop"),
    ]

    chunks = read(*odd, b"data: [DONE]\n\n", event({"after": "the end"}))

    assert "".join(chunk.text for chunk in chunks) == "hi"
    assert len(chunks) == len(odd)
    assert all("content" in choice.delta for chunk in chunks for choice in chunk.choices)
