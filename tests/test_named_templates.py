"""Named templates: files of prompts with what they are asked with."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magic.exceptions import TemplateError
from llm_magic.named_templates import NamedTemplate, find, save, templates

HERE = Path()


def write(text: str, name: str = "summary", folder: str = "prompts") -> Path:
    path = Path(folder, f"{name}.md")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_template_is_its_front_matter_and_its_text() -> None:
    write(
        "---\nmodel: openai/gpt-5-mini\nsystem: Be {{ tone }}.\nparameters: {temperature: 0}\n"
        "schema: title, year int\ndefaults: {tone: kind}\n---\n\nSummarise:\n\n{{ input }}\n"
    )

    template = find("summary", HERE.resolve())

    assert (template.model, template.schema) == ("openai/gpt-5-mini", "title, year int")
    assert template.parameters == {"temperature": 0}
    assert template.placeholders == ["tone", "input"]
    assert template.fill({}, "A long text.\n") == ("Summarise:\n\nA long text.", "Be kind.")


def test_a_file_without_front_matter_is_all_prompt() -> None:
    write("Why --- or why not?\n---\n")

    assert find("summary", HERE.resolve()).fill({}) == ("Why --- or why not?\n---", None)


@pytest.mark.parametrize(
    ("text", "values", "body", "prompt"),
    [
        ("{{a}} and {{ a }}", {"a": 1}, "", "1 and 1"),
        ("{{ a }}", {"a": "{{ b }}"}, "", "{{ b }}"),
        (r"\{{ a }} {{ a }}", {"a": 1}, "", "{{ a }} 1"),
        ("x^{{2}} {{ a.b }} {'k': {'l': 1}}", {}, "", "x^{{2}} {{ a.b }} {'k': {'l': 1}}"),
        ("Ask:", {}, "the body\n", "Ask:\n\nthe body"),
        ("", {}, "the body", "the body"),
        ("[{{ input }}]", {}, "the body\n", "[the body]"),
        ("[{{ input }}]", {"input": "given"}, "", "[given]"),
        ("[{{ input }}]", {"input": "given"}, "the body", "[the body]"),
    ],
)
def test_what_is_filled_in(text: str, values: dict[str, object], body: str, prompt: str) -> None:
    assert NamedTemplate("t", text).fill(values, body)[0] == prompt


@pytest.mark.parametrize(
    ("values", "told"),
    [({}, "template t needs -p who VALUE"), ({"woh": 1, "who": 2}, "no {{ woh }}; .*who")],
)
def test_a_value_too_few_or_too_many_is_told(values: dict[str, object], told: str) -> None:
    with pytest.raises(TemplateError, match=told):
        NamedTemplate("t", "Hello {{ who }}").fill(values)


def test_the_nearest_template_counts_and_the_project_is_the_end(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write("outside", "far", str(tmp_path / "out" / "prompts"))
    project = tmp_path / "out" / "project"
    write("of the project", "both", str(project / "prompts"))
    write("of the project", "one", str(project / "prompts"))
    write("near", "both", str(project / "book" / "prompts"))
    (project / "pyproject.toml").write_text("")

    found = templates(project / "book")

    assert list(found) == ["both", "one"]
    assert find("both", project / "book").text == "near"


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    write("x", "summary")

    with pytest.raises(TemplateError, match=r"no template 'sumary'; .*summary"):
        find("sumary", HERE.resolve())


def test_a_name_never_leads_out_of_the_folder() -> None:
    write("secret", "out", "elsewhere")

    with pytest.raises(TemplateError):
        find("../elsewhere/out", HERE.resolve())
    with pytest.raises(TemplateError, match="is no name"):
        save(NamedTemplate("../out", "x"), HERE)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("---\nmodel: x\n", "has no end"),
        ("---\n- a\n---\n", "names and values"),
        ("---\nmodle: x\n---\n", "no 'modle' in front; .*model"),
        ("---\nmodel: [\n---\n", "not YAML"),
        ("---\nmodel: 3\n---\n", "model takes text"),
        ("---\ndefaults: 3\n---\n", "defaults takes names"),
        ("---\nmodel: !!python/object/apply:os.system ['true']\n---\n", "not YAML"),
    ],
)
def test_front_matter_that_is_none_is_told(text: str, told: str) -> None:
    write(text)

    with pytest.raises(TemplateError, match=told):
        find("summary", HERE.resolve())


def test_a_saved_template_is_found_and_not_written_over_by_chance() -> None:
    template = NamedTemplate(
        "mine", "Why {{ x }}? é", "echo/echo", "Be brief.", "a int", {"n": 2}, {"x": "not"}
    )

    save(template, HERE)

    assert find("mine", HERE.resolve()) == template
    with pytest.raises(TemplateError, match="--force replaces it"):
        save(template, HERE)
    save(NamedTemplate("mine", "other"), HERE, replace=True)
    assert find("mine", HERE.resolve()) == NamedTemplate("mine", "other")


@given(st.text(), st.text())
def test_values_go_in_byte_for_byte(value: str, body: str) -> None:
    prompt, _ = NamedTemplate("t", "<{{ a }}|{{ input }}>").fill({"a": value}, f"x{body}y")

    assert prompt == f"<{value}|x{body}y>"
