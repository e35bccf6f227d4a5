"""The tree of errors is the one drawn at the top of the module, and each is a builtin too."""

from __future__ import annotations

import inspect
import re

import pytest

from llm_magic import exceptions
from llm_magic.exceptions import LLMMagicError, ProviderError, ReplayMissError, did_you_mean

CLASSES = [
    value
    for _, value in inspect.getmembers(exceptions, inspect.isclass)
    if value.__module__ == exceptions.__name__ and not issubclass(value, Warning)
]


def drawn() -> dict[str, tuple[str, set[str]]]:
    """Name, parent and builtins of every class in the drawing."""
    path: list[str] = ["LLMMagicError"]
    rows: dict[str, tuple[str, set[str]]] = {"LLMMagicError": ("Exception", set())}
    for line in (exceptions.__doc__ or "").splitlines():
        found = re.match(r" {4}([│ ]*)[├└]── (\w+)\s*(?:\(([\w, ]+)\))?", line)
        if found:
            depth = len(found[1]) // 4 + 1
            path[depth:] = [found[2]]
            builtins = {name.strip() for name in (found[3] or "").split(",")} - {""}
            rows[found[2]] = (path[depth - 1], builtins)
    return rows


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_a_class_stands_where_the_drawing_has_it(kind: type) -> None:
    parent, builtins = drawn()[kind.__name__]
    bases = [base.__name__ for base in kind.__bases__]

    assert bases[0] == parent
    assert set(bases[1:]) == builtins


def test_the_drawing_and_all_hold_every_class() -> None:
    names = {kind.__name__ for kind in CLASSES}

    assert set(drawn()) == names
    assert sorted(names | {"ParameterWarning"}) == exceptions.__all__


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_a_message_is_printed_as_it_is(kind: type[Exception]) -> None:
    assert str(kind('it\'s a "sentence"')) == 'it\'s a "sentence"'


def test_a_miss_is_what_a_user_would_catch() -> None:
    error = ReplayMissError("no recording", key="k", ordinal=2)

    assert isinstance(error, (KeyError, RuntimeError))
    assert (error.key, error.ordinal) == ("k", 2)


def test_a_refusal_is_not_billed_unless_told() -> None:
    assert ProviderError("no").billed is False
    assert ProviderError("no", billed=None).billed is None
    assert not ProviderError("no").attempts


def test_an_error_without_a_message_prints_as_nothing() -> None:
    assert str(LLMMagicError()) == ""


@pytest.mark.parametrize(
    ("word", "options", "hint"),
    [
        ("REPLY", {}, "did you mean REPLAY?"),
        ("zzz", {}, "use one of: CAPTURE, REPLAY"),
        ("zzz", {"show_all": False}, ""),
    ],
)
def test_a_hint_names_the_nearest_word(word: str, options: dict[str, bool], hint: str) -> None:
    assert did_you_mean(word, ["REPLAY", "CAPTURE"], **options) == hint
