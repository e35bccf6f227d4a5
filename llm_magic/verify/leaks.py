"""Keys in texts that travel: known values by their name, and what merely looks like a key.

Nothing here returns or prints a value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from llm_magic import secrets

__all__ = ["SHAPES", "found", "hidden"]

# What keys look like, by whose they are. Long enough and with a digit, so that words in running
# text are none.
SHAPES: Mapping[str, re.Pattern[str]] = {
    whose: re.compile(rf"(?<![A-Za-z0-9_-])(?:{pattern})")
    for whose, pattern in {
        "Anthropic": r"sk-ant-[A-Za-z0-9_-]{20,}",
        "OpenRouter": r"sk-or-[A-Za-z0-9_-]{20,}",
        "OpenAI": r"sk-(?!ant-|or-)(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{20,}",
        "Google": r"AIza[A-Za-z0-9_-]{35}",
        "Groq": r"gsk_[A-Za-z0-9]{40,}",
        "Hugging Face": r"hf_[A-Za-z0-9]{30,}",
        "Perplexity": r"pplx-[A-Za-z0-9]{40,}",
        "xAI": r"xai-[A-Za-z0-9]{40,}",
        "AWS": r"(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])",
        "GitHub": r"(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40,})",
        "Slack": r"xox[abprs]-[A-Za-z0-9-]{20,}",
        "somebody (PEM)": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
    }.items()
}


def found(text: str) -> list[str]:
    """What stands in the text that should not: in words, without the values.

    >>> found("key = 'AKIA0123456789ABCDEF'")
    ['something that looks like a key of AWS']
    """
    known = {name for value, name in secrets.known().items() if value in text}
    told = [f"the value of {name}" for name in sorted(known)]
    rest = secrets.redact(text) if known else text
    told += [
        f"something that looks like a key of {whose}"
        for whose, shape in SHAPES.items()
        if shape.search(rest)
    ]
    return told


def hidden(text: str) -> str:
    """The text without known key values, and without what looks like a key.

    >>> hidden("key = 'AKIA0123456789ABCDEF'")
    "key = '{{secret}}'"
    """
    text = secrets.redact(text)
    for shape in SHAPES.values():
        text = shape.sub("{{secret}}", text)
    return text
