"""Reasoning and calls are found in whatever shape a server gives them."""

from __future__ import annotations

import pytest

from llm_magic.notebook.asides import Aside, asides
from llm_magic.types import Completion


def answer(*messages, **about):
    return Completion({"choices": [{"message": message} for message in messages]}, **about)


def calling(name, arguments="{}"):
    return {"tool_calls": [{"function": {"name": name, "arguments": arguments}}]}


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ({"content": "hi"}, []),
        ({"reasoning_content": " why \n"}, [Aside("reasoning", "why")]),
        ({"reasoning": "why"}, [Aside("reasoning", "why")]),
        ({"reasoning": {"effort": "low"}}, []),
        ({"reasoning_content": " "}, []),
        (calling("f", "{"), [Aside("called f", "f({)")]),
        ({"tool_calls": [{"custom": {"name": "f", "input": "x"}}]}, [Aside("called f", "f(x)")]),
        ({"tool_calls": [{}]}, [Aside("called ?", "?()")]),
        ({"tool_calls": ["f", None]}, [Aside("called ?", "?()\n?()")]),
        ({"tool_calls": "f"}, []),
        (None, []),
    ],
)
def test_what_a_message_holds_beside_its_text_is_found(message, found):
    assert asides(answer(message)) == [found]


def test_calls_of_earlier_rounds_stand_beside_the_first_choice():
    earlier = answer(calling("f", "1") | {"reasoning_content": "a"}), answer(calling("f", "2"))

    found = asides(answer(calling("g", "3") | {"reasoning_content": "b"}, {}, rounds=earlier))

    assert found == [[Aside("reasoning", "a\n\nb"), Aside("called f, g", "f(1)\nf(2)\ng(3)")], []]


def test_an_answer_without_choices_has_nothing_beside_it():
    assert asides(Completion({"choices": None})) == []
