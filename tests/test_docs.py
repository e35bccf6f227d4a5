"""README's example runs, and prints what README says it prints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent


def test_the_example_in_readme_prints_what_readme_shows(run_python: Any) -> None:
    text = (REPOSITORY / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    (output,) = re.findall(r"```text\n(.*?)```", text, re.S)

    done = run_python(code)

    assert done.stdout == output, done.stderr


def test_links_in_the_documents_lead_somewhere() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (REPOSITORY / name).read_text())
        assert [link for link in links if not (REPOSITORY / link).exists()] == []


def test_readme_has_the_two_commands_and_ci_runs_the_second() -> None:
    readme = (REPOSITORY / "README.md").read_text()

    assert "\nmake demo " in readme
    assert "\nmake test " in readme
    assert "make test" in (REPOSITORY / ".ci" / "run").read_text()
