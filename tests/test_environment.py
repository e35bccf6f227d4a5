"""Variables are looked up as they are now, past os.environ."""

from __future__ import annotations

import os
from collections import ChainMap

import pytest

from llm_magic import environment

NAME = "LLM_MAGIC_TEST_WORD"


def test_a_variable_is_what_it_was_set_to_last(monkeypatch: pytest.MonkeyPatch) -> None:
    before = environment.look(NAME)
    monkeypatch.setenv(NAME, "one")
    first = environment.look(NAME)
    monkeypatch.setenv(NAME, "zwei ü \udcff")
    second = environment.look(NAME)
    monkeypatch.delenv(NAME)

    assert (before, first, second) == (None, "one", "zwei ü \udcff")
    assert environment.look(NAME) is None


def test_another_environment_counts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "of the process")

    assert environment.look(NAME, {}) is None
    assert environment.look(NAME, ChainMap({NAME: "laid over"}, os.environ)) == "laid over"
    assert environment.look(NAME, ChainMap({}, os.environ)) == "of the process"


def test_an_environment_of_another_kind_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {NAME: "of a plain dict"})

    assert environment.look(NAME) == "of a plain dict"
    assert environment.everything() == {NAME: "of a plain dict"}
