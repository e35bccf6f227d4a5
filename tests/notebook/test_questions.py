"""A prompt may end with a question mark; what is help for IPython stays help."""

from __future__ import annotations

import pytest

MAGIC = "get_ipython().run_line_magic('complete', "


@pytest.fixture
def transform(shell):
    shell.run_cell("%load_ext llm_magic").raise_error()
    return shell.transform_cell


@pytest.mark.parametrize(
    ("cell", "python"),
    [
        ("%complete what is love?", f"{MAGIC}'what is love?')\n"),
        ("%complete what is love??", f"{MAGIC}'what is love??')\n"),
        ("%complete what's new?", f'{MAGIC}"what\'s new?")\n'),
        ('%complete say "why?"?', f"{MAGIC}'say \"why?\"?')\n"),
        ("%complete -T 0 why?", f"{MAGIC}'-T 0 why?')\n"),
        ("%complete why # really?", f"{MAGIC}'why # really?')\n"),
        ("%complete why?  ", f"{MAGIC}'why?')\n"),
        ("x = %complete why?", f"x = {MAGIC}'why?')\n"),
        ("x = %complete what's that?", f'x = {MAGIC}"what\'s that?")\n'),
        ("x.y[0] = %complete why?", f"x.y[0] = {MAGIC}'why?')\n"),
        ("if 1:\n    %complete why?", f"if 1:\n    {MAGIC}'why?')\n"),
        ("for _ in x:\n    y = %complete why?\n", f"for _ in x:\n    y = {MAGIC}'why?')\n"),
        (
            "a = %complete one?\nb = 1\n%complete two?\n",
            f"a = {MAGIC}'one?')\nb = 1\n{MAGIC}'two?')\n",
        ),
    ],
)
def test_a_question_is_for_the_model(transform, cell, python):
    assert transform(cell).rstrip() == python.rstrip()


@pytest.mark.parametrize(
    ("cell", "python"),
    [
        ("%complete?", "get_ipython().run_line_magic('pinfo', '%complete')\n"),
        ("%complete??", "get_ipython().run_line_magic('pinfo2', '%complete')\n"),
        ("%%complete?", "get_ipython().run_line_magic('pinfo', '%%complete')\n"),
        ("?%complete", "get_ipython().run_line_magic('pinfo', '%complete')\n"),
        ("print?", "get_ipython().run_line_magic('pinfo', 'print')\n"),
        ("x = %who?", "get_ipython().run_line_magic('pinfo', '%who')\n"),
        ('"""\n%complete why?\n"""', '"""\n%complete why?\n"""\n'),
        ("'%complete why?'", "'%complete why?'\n"),
        ("# %complete why?", "# %complete why?\n"),
        ("a %complete", "a %complete\n"),
        ("%completely different?", "get_ipython().run_line_magic('pinfo', 'different')\n"),
    ],
)
def test_all_else_is_left_to_ipython(shell, cell, python):
    before = shell.transform_cell(cell)
    shell.run_cell("%load_ext llm_magic").raise_error()

    assert shell.transform_cell(cell) == before
    assert before.rstrip() == python.rstrip()
