"""Estimates of tokens: near what a real tokenizer counts, and marked where they stand in for it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magic.tokens import estimate, estimate_messages, told_or_estimated
from llm_magic.types import Completion, Request, Usage, attributes

# Texts, and how many tokens OpenAI's o200k makes of them (tiktoken 0.14.0).
TEXTS = {
    "prose": (
        "The night train left Oslo at half past ten, an hour late, with most of i"
        "ts windows fogged. Nobody in the third carriage spoke. A woman in a gree"
        "n coat read the same page of her newspaper twice, folded it, and looked "
        "out at the snow.",
        54,
    ),
    "french": (
        "Le petit déjeuner est servi à partir de sept heures dans la salle du rez"
        "-de-chaussée. Veuillez prévenir la réception si vous souhaitez partir pl"
        "us tôt, afin que nous préparions un panier à emporter.",
        43,
    ),
    "german": (
        "Die Straßenbahn fährt am Wochenende nur alle zwanzig Minuten, weil die B"
        "rücke über den Fluss erneuert wird. Fahrgäste werden gebeten, auf die Er"
        "satzbusse umzusteigen.",
        41,
    ),
    "python": (
        "def mean(values):\n    total = 0.0\n    for value in values:\n        if va"
        "lue is None:\n            continue\n        total += float(value)\n    retu"
        "rn total / max(1, len(values))\n\n\nprint(mean([1, 2, None, 4.5]))\n",
        59,
    ),
    "json": (
        '{"id": 17, "name": "Ada Lovelace", "tags": ["math", "computing"], "activ'
        'e": true, "score": 98.25, "address": {"street": "St. James\'s Square 12",'
        ' "city": "London", "zip": "SW1Y 4LB"}}',
        70,
    ),
    "csv": (
        "date,station,temperature,wind\n2026-01-03,Bergen,4.2,11.8\n2026-01-04,Berg"
        "en,3.9,13.1\n2026-01-05,Bergen,-0.4,6.7\n2026-01-06,Bergen,-2.2,5.0\n",
        76,
    ),
    "html": (
        '<table class="wide"><tr><th>Name</th><th>Age</th></tr><tr><td>Ann</td><t'
        "d>41</td></tr><tr><td>Bo</td><td>7</td></tr></table>",
        54,
    ),
    "latex": (
        "The integral $\\int_0^1 x^2 \\, dx = \\frac{1}{3}$ follows from $\\frac{d}{d"
        "x} \\frac{x^3}{3} = x^2$.",
        44,
    ),
    "uuid": ("3f2b8c1e-9a47-4d05-b6e2-7c1f0a9d8e34", 32),
    "digits": ("31415926535897932384626433832795028841971693993751", 17),
    "base64": (
        "H0D8ktokFpR1CXnubPWC8tXX0o4YM13gWrxU0FYOD1MChgxlK/CNVgJSql50IQVG82n7u86M"
        "Es/HlXsmUv6adR9A/JLaJBaUdQl57mz1gvLV19KOGDNd4Fq8VNBWDg9TAoYMZSvwjVYCUqpe"
        "dCEFRvNp+7vOjBLPx5V7JlL+mnUfQPyS2iQWlHUJee5s9YLy1dfSjhgzXeBavFTQVg4PUwKG"
        "DGUr8I1WAlKqXnQhBUbzafu7zowSz8eVeyZS/pp1",
        172,
    ),
    "hex": ("ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb", 33),
    "chinese": ("今天的天气很好，我们决定去公园散步，然后在湖边的咖啡馆吃午饭。", 24),
    "japanese": ("会議は午後三時から始まりますので、資料を事前に確認しておいてください。", 23),
    "russian": (
        "Поезд отправляется с третьего пути через десять минут, просьба занять свои места.",
        20,
    ),
    "hindi": ("कृपया अपना सामान अपने पास रखें और सीढ़ियों पर सावधानी से चलें।", 20),
    "arabic": ("يرجى إبقاء الأمتعة معكم في جميع الأوقات والانتباه عند الخروج.", 21),
    "emoji": ("🎉🎉 Party time! 🥳🍰🎈 Bring friends 👩\u200d👩\u200d👧\u200d👦", 27),
    "newlines": ("a\n\n\nb\n\n\nc\n", 6),
    "spaces": ("x        y        z", 5),
    "empty": ("", 0),
}
# Random letters and digits; what tokenizers make of those differs most.
LOOSE = {"hex": 0.35}


@pytest.mark.parametrize("name", TEXTS)
def test_an_estimate_is_near_what_o200k_counts(name: str) -> None:
    text, tokens = TEXTS[name]

    assert estimate(text) == pytest.approx(tokens, rel=LOOSE.get(name, 0.21))


@given(st.text(max_size=300))
def test_every_text_has_an_estimate_below_its_bytes(text: str) -> None:
    bytes_of_it = len(text.encode("utf-8", "surrogatepass"))

    assert 0 <= estimate(text) <= bytes_of_it


def test_a_long_text_costs_no_time_to_speak_of() -> None:
    # A pattern that went back and forth in it would take minutes.
    assert estimate("-" * 1_000_000) > 0
    assert estimate("a" * 1_000_000) > 0
    assert estimate("1" * 1_000_000) > 0


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        ({"role": "user", "content": "Why?"}, 2),
        ({"role": "user", "content": [{"type": "text", "text": "Why?"}]}, 2),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, 0),
        ({"role": "tool", "content": [{"type": "tool_result", "content": "Why?"}]}, 2),
        ({"role": "assistant", "content": None}, 0),
        ({"role": "assistant", "content": None, "reasoning_content": "Why?"}, 2),
        (
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
            estimate(json.dumps({"name": "f", "arguments": "{}"})),
        ),
    ],
)
def test_a_message_has_the_tokens_of_its_words_and_a_few_more(message: Any, tokens: int) -> None:
    assert estimate_messages([message]) == 3 + 4 + tokens


def test_no_messages_have_no_tokens() -> None:
    assert estimate_messages([]) == 0


ASKED = Request("openai", "m", [{"role": "user", "content": "Why?"}])


def answer(*texts: str, usage: Any = None) -> Any:
    choices = [{"message": {"content": text}} for text in texts]
    return attributes({"choices": choices, "usage": usage})


def test_what_a_provider_told_is_kept_as_it_is() -> None:
    told = {"prompt_tokens": 1, "completion_tokens": 2}

    assert told_or_estimated(ASKED, answer("Because.", usage=told)) == told


@pytest.mark.parametrize("usage", [None, {}, "much", {"prompt_tokens": None}, [1]])
def test_what_it_did_not_tell_is_estimated_and_marked(usage: Any) -> None:
    found = answer("Because.", usage=usage)

    found["usage"] = told_or_estimated(ASKED, found)

    assert Usage.from_openai(found["usage"]) == Usage(uncached_input_tokens=9, output_tokens=2)
    assert Completion(found).usage_source == "estimated"


def test_all_choices_and_the_tools_count() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    request = Request("openai", "m", ASKED.messages, {"tools": tools})

    found = Usage.from_openai(told_or_estimated(request, answer("Because.", "Because.")))

    assert found == Usage(uncached_input_tokens=9 + estimate(json.dumps(tools)), output_tokens=4)


def test_texts_to_embed_have_no_marks_of_a_chat_around_them() -> None:
    texts = [{"role": "user", "content": "Why?"}] * 2
    request = Request("openai", "m", texts, api="embedding")

    found = Usage.from_openai(told_or_estimated(request, answer()))

    assert found == Usage(uncached_input_tokens=4)


def test_a_cost_that_came_without_tokens_is_kept() -> None:
    usage = told_or_estimated(ASKED, answer("Because.", usage={"cost": 0.5}))

    assert (usage["cost"], usage["estimated"]) == (0.5, True)


@pytest.mark.parametrize(
    ("usage", "source"),
    [
        (None, None),
        ({"prompt_tokens": "many"}, None),
        ({"prompt_tokens": 1}, "provider"),
        ({"prompt_tokens": 1, "estimated": True}, "estimated"),
    ],
)
def test_a_completion_says_who_counted(usage: Any, source: str | None) -> None:
    assert Completion(answer(usage=usage)).usage_source == source
