"""Loading costs nothing: SDKs, pandas, pydantic and widgets are imported by those who use them."""

from __future__ import annotations

HEAVY = ["anthropic", "genai_prices", "ipywidgets", "nbclient", "openai", "pandas", "pydantic"]
SHELL = """
import sys
from traitlets.config import Config
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
shell.run_cell("1 + 1", silent=True)
before = set(sys.modules)
"""
TELL = f"""
new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(sorted(new & set({HEAVY!r})))
"""


def test_import_llm_magic_loads_nothing_heavy(run_python):
    done = run_python(
        "import sys; before = set(sys.modules); import llm_magic\n"
        + TELL.replace(repr(HEAVY), repr([*HEAVY, "IPython", "diskcache", "sqlite3", "httpx"]))
    )

    assert done.stdout == "[]\n", done.stderr


def test_load_ext_loads_nothing_heavy(run_python):
    done = run_python(SHELL + "shell.run_cell('%load_ext llm_magic').raise_error()\n" + TELL)

    assert done.stdout == "[]\n", done.stderr


def test_the_status_and_a_local_answer_load_no_sdk(run_python):
    done = run_python(
        SHELL
        + "shell.run_cell('%load_ext llm_magic').raise_error()\n"
        + "shell.run_cell('x = %complete -m echo/echo hello').raise_error()\n"
        + 'shell.run_cell(\'x = get_ipython().run_line_magic("llm", "status")\').raise_error()\n'
        + TELL
    )

    assert done.stdout == "[]\n", done.stderr


def test_the_pytest_plugin_loads_nothing_heavy(run_python):
    done = run_python(
        "import sys, pytest\n"
        "before = set(sys.modules)\n"
        "import llm_magic.testing.plugin\n"
        + TELL.replace(repr(HEAVY), repr([*HEAVY, "IPython", "http", "llm_magic.client"]))
    )

    assert done.stdout == "[]\n", done.stderr


def test_the_command_line_loads_nothing_heavy(run_python):
    done = run_python(
        "import sys; before = set(sys.modules)\n"
        "from llm_magic import cli\n"
        "try:\n"
        "    cli.main(['history', 'nowhere'])\n"
        "finally:\n" + "".join(f"    {line}\n" for line in TELL.strip().splitlines())
    )

    assert done.stdout == "[]\n", done.stderr


def test_load_ext_loads_only_what_a_first_cell_needs(run_python):
    later = ["doctor", "importers", "notebook.commands", "schemas", "tools"]
    done = run_python(
        SHELL
        + "shell.run_cell('%load_ext llm_magic').raise_error()\n"
        + f"print([name for name in {later} if 'llm_magic.' + name in sys.modules])\n"
    )

    assert done.stdout == "[]\n", done.stderr
