"""Settings as traits: ``%config CompleteMagics`` and ``%llm config`` tell and set the same."""

from __future__ import annotations

import pytest
from traitlets.config import Config

from llm_magic import config
from llm_magic.notebook.display import FORMATS
from llm_magic.notebook.traits import NAMES
from llm_magic.types import Mode


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("model", "'echo/echo'", "echo/echo"),
        ("mode", "'DISABLED'", Mode.DISABLED),
        ("format", "'text'", "text"),
        ("system", "'short'", "short"),
        ("temperature", "0.5", 0.5),
        ("max_tokens", "9", 9),
        ("confirm_above", "2", 2),
    ],
)
def test_a_trait_is_the_setting(notebook, name, value, read):
    notebook.run(f"%config CompleteMagics.{name} = {value}")

    assert config.default().get(name) == read
    assert config.default().origin(name) == "%llm config"
    notebook.run(f"%config CompleteMagics.{name} = None")
    assert config.default().origin(name) == "default"


def test_a_setting_is_seen_as_a_trait(notebook):
    notebook.run("%llm config temperature=0.5 mode=REPLAY")

    notebook.run("%config CompleteMagics")

    assert "Current: 0.5" in notebook.printed
    assert "Current: 'REPLAY'" in notebook.printed
    for name in NAMES:
        assert f"CompleteMagics.{name}" in notebook.printed
        assert config.OPTIONS[name].help[:30] in notebook.printed


def test_a_trait_counts_for_cells_that_do_not_say_otherwise(notebook, server):
    notebook.run("%config CompleteMagics.temperature = 0.5\n%llm config system=short max_tokens=9")
    notebook.run("%config CompleteMagics.format = 'none'")

    notebook.run("%%complete -m openai/gpt-4.1-mini\nWhy?")
    notebook_outputs = list(notebook.outputs)
    notebook.run("%%complete -m openai/gpt-4.1-mini -T 1 -s long --max-tokens 8 --format md\nWhy?")

    first, second = (request.body for request in server.requests)
    sent = [
        (one["temperature"], one["max_tokens"], one["messages"][0]["content"])
        for one in (first, second)
    ]
    assert sent == [(0.5, 9, "short"), (1, 8, "long")]
    assert notebook_outputs == []
    assert notebook.outputs


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("mode = 'REPLY'", "did you mean REPLAY?"),
        ("format = 'mdd'", "did you mean md?"),
        ("temperature = -1", "it takes a number from 0"),
        ("max_tokens = 0", "whole number of tokens"),
    ],
)
def test_a_wrong_value_is_told_and_changes_nothing(notebook, caplog, line, told):
    before = dict(config.default().session)

    notebook.run(f"%config CompleteMagics.{line}")

    (record,) = caplog.records  # IPython logs what %config cannot set
    assert told in record.getMessage()
    assert config.default().session == before


def test_the_formats_of_the_settings_are_those_of_the_display():
    assert set(config.FORMATS) == set(FORMATS)


def test_ipythons_own_configuration_counts(shell):
    shell.config.merge(Config({"CompleteMagics": {"model": "echo/echo"}}))

    shell.run_cell("%load_ext llm_magic").raise_error()

    assert config.default().get("model") == "echo/echo"
