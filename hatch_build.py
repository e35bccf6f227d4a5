"""Builds the JupyterLab extension into sdists and wheels, where Node.js is there.

``LLM_MAGIC_LABEXTENSION`` says what to do:

=========  ==========================================================================
auto       build it if npm is there and the sources are newer; else go on without it
require    fail where it cannot be built; for releases
skip       take what has been built, if anything
=========  ==========================================================================

Without the extension all of llm-magic works but what people see in JupyterLab's own bars.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = "labextension"
BUILT = "llm_magic/labextension"
SHARED = "share/jupyter/labextensions/llm-magic"
CHOICES = ("auto", "require", "skip")


def say(text: str) -> None:
    """Tell whoever builds; pip shows it with ``-v``."""
    print(f"llm-magic: {text}", file=sys.stderr)


class LabExtensionHook(BuildHookInterface):
    """Builds the front end with npm, and adds what was built to the package."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before a package is put together, of hatchling's target ``version``."""
        if version == "editable":
            return  # Whoever works on it links what was built: `make lab` does.
        choice = os.environ.get("LLM_MAGIC_LABEXTENSION") or "auto"
        if choice not in CHOICES:
            raise ValueError(f"LLM_MAGIC_LABEXTENSION={choice!r}; choices: {', '.join(CHOICES)}")
        built, sources = Path(self.root, BUILT), Path(self.root, SOURCES)
        if choice != "skip" and is_stale(sources, built):
            build(sources, required=choice == "require")
        if not is_built(built):
            if choice == "require":
                raise RuntimeError(f"there is no JupyterLab extension in {BUILT}")
            say("installing without the JupyterLab extension; the Python side does not need it")
        elif self.target_name == "sdist":
            # git ignores what is built; named here, so that nobody needs Node.js for an sdist.
            build_data["artifacts"].append(f"/{BUILT}/**")
        else:
            build_data["shared_data"][str(built)] = SHARED
            build_data["shared_data"][str(sources / "install.json")] = f"{SHARED}/install.json"


def is_built(built: Path) -> bool:
    """Whether there is an extension that JupyterLab can load.

    Its package.json is written before the rest is, and names what to load once that is there.
    """
    try:
        found = json.loads((built / "package.json").read_text(encoding="utf-8"))
        return (built / found["jupyterlab"]["_build"]["load"]).is_file()
    except (OSError, ValueError, KeyError, TypeError):
        return False


def is_stale(sources: Path, built: Path) -> bool:
    """Whether the extension was never built, or its sources changed since."""
    if not (sources / "package.json").is_file():
        return False
    if not is_built(built):
        return True
    made = built / "package.json"
    parts = ("src", "style", "schema")
    folders = [sources.glob("*.json"), *((sources / name).rglob("*") for name in parts)]
    return any(
        path.stat().st_mtime > made.stat().st_mtime
        for paths in folders
        for path in paths
        if path.is_file()
    )


def is_installed(sources: Path) -> bool:
    """Whether npm has installed what the lock file says, as the Makefile asks it, too."""
    try:
        installed = (sources / "node_modules" / ".package-lock.json").stat()
    except OSError:
        return False
    return installed.st_mtime > (sources / "package-lock.json").stat().st_mtime


def build(sources: Path, *, required: bool) -> None:
    """Build with npm; where that is not possible, fail if it is required, else say so."""
    npm = shutil.which("npm")
    if npm is None:
        if required:
            raise RuntimeError("npm is not on the PATH; the JupyterLab extension needs Node.js 20")
        say("npm is not on the PATH, so the JupyterLab extension is not built")
        return
    try:
        for words in ([] if is_installed(sources) else [["ci"]]) + [["run", "build"]]:
            # The standard output belongs to whoever builds.
            subprocess.run([npm, *words], cwd=sources, check=True, stdout=sys.stderr)  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        if required:
            raise
        say(f"the JupyterLab extension could not be built: {error}")
