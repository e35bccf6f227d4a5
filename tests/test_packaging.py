"""What is in the packages: the JupyterLab extension, where it was built."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import llm_magic

ROOT = Path(__file__).parents[1]
FRONT = ROOT / "labextension"
BUILT = "llm_magic/labextension"
SHARED = f"llm_magic-{llm_magic.__version__}.data/data/share/jupyter/labextensions/llm-magic"
SOURCES = ("llm_magic", "labextension", "pyproject.toml", "hatch_build.py", "README.md", "LICENSE")
# Not part of a checkout.
OMITTED = shutil.ignore_patterns("node_modules", "lib", "__pycache__")


@pytest.fixture
def checkout(tmp_path):
    """The sources of the packages, without what was built of them."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=OMITTED)
        else:
            shutil.copy2(ROOT / name, folder)
    shutil.rmtree(folder / BUILT, ignore_errors=True)
    (folder / ".gitignore").write_text("/llm_magic/labextension/\n")
    return folder


@pytest.fixture
def built(checkout):
    """The same, with an extension that is newer than its sources."""
    folder = checkout / BUILT
    (folder / "static").mkdir(parents=True)
    (folder / "static" / "remoteEntry.js").write_text("// built\n")
    loaded = {"jupyterlab": {"_build": {"load": "static/remoteEntry.js"}}}
    (folder / "package.json").write_text(json.dumps({"name": "llm-magic", **loaded}))
    return checkout


@pytest.fixture
def half_built(built):
    """The same, where the build stopped after it had copied package.json."""
    folder = built / BUILT
    shutil.copy2(FRONT / "package.json", folder)
    shutil.rmtree(folder / "static")
    return built


def package(checkout, kind, **environment):
    """Build with hatchling, where there is no npm; the file, and what was said."""
    tools = checkout.parent / "tools"
    tools.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind],
        cwd=checkout,
        env={"PATH": str(tools), "HOME": os.environ["HOME"], **environment},
        capture_output=True,
        text=True,
    )
    files = [*(checkout / "dist").glob("*.whl"), *(checkout / "dist").glob("*.tar.gz")]
    return done, files[0] if files else None


def test_a_wheel_carries_the_built_extension_where_jupyterlab_looks_for_it(built):
    done, wheel = package(built, "wheel", LLM_MAGIC_LABEXTENSION="require")

    assert done.returncode == 0, done.stderr
    names = set(zipfile.ZipFile(wheel).namelist())
    files = ("install.json", "package.json", "static/remoteEntry.js")
    assert {f"{SHARED}/{name}" for name in files} <= names
    assert not [name for name in names if name.startswith(BUILT)]


def test_an_sdist_carries_sources_and_the_built_extension_so_that_it_needs_no_node(built):
    done, sdist = package(built, "sdist")

    assert done.returncode == 0, done.stderr
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"labextension/src/index.ts", f"{BUILT}/static/remoteEntry.js"} <= names
    assert not [name for name in names if "node_modules" in name]


def test_without_npm_a_wheel_is_made_all_the_same_and_says_what_is_missing(checkout):
    done, wheel = package(checkout, "wheel")

    assert done.returncode == 0, done.stderr
    assert "npm is not on the PATH" in done.stderr
    assert "without the JupyterLab extension" in done.stderr
    names = zipfile.ZipFile(wheel).namelist()
    assert "llm_magic/__init__.py" in names
    assert not [name for name in names if "labextensions" in name]


@pytest.mark.parametrize(
    ("choice", "told"),
    [("require", "npm is not on the PATH"), ("yes", "choices: auto, require, skip")],
)
def test_a_release_without_the_extension_and_a_wrong_choice_fail(checkout, choice, told):
    done, wheel = package(checkout, "wheel", LLM_MAGIC_LABEXTENSION=choice)

    assert done.returncode
    assert told in done.stderr
    assert wheel is None


def test_an_extension_older_than_its_sources_is_not_taken_for_a_release(built):
    newer = (built / BUILT / "package.json").stat().st_mtime + 10
    os.utime(built / "labextension" / "src" / "index.ts", (newer, newer))

    done, _ = package(built, "wheel", LLM_MAGIC_LABEXTENSION="require")

    assert done.returncode
    assert "npm is not on the PATH" in done.stderr


def test_what_a_failed_build_left_is_in_no_package(half_built):
    done, wheel = package(half_built, "wheel")

    assert done.returncode == 0, done.stderr
    assert "without the JupyterLab extension" in done.stderr
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if "labextensions" in name]


@pytest.mark.parametrize("load", [None, "static/remoteEntry.js"])
def test_what_a_failed_build_left_is_not_taken_for_a_release(half_built, load):
    path = half_built / BUILT / "package.json"
    content = json.loads(path.read_text())
    content["jupyterlab"] |= {} if load is None else {"_build": {"load": load}}
    path.write_text(json.dumps(content))

    done, wheel = package(half_built, "wheel", LLM_MAGIC_LABEXTENSION="require")

    assert done.returncode
    assert wheel is None


def test_a_checkout_with_node_installs_an_extension_that_is_enabled(checkout, tmp_path):
    modules = FRONT / "node_modules"
    if shutil.which("npm") is None or not modules.is_dir():
        reason = "the JupyterLab extension cannot be built here: it needs npm and its packages"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    (checkout / "labextension" / "node_modules").symlink_to(modules)
    # What is there is taken: npm would begin by removing it.
    os.utime(checkout / "labextension" / "package-lock.json", (0, 0))
    prefix = tmp_path / "prefix"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", checkout, "--prefix", prefix),
            *("--ignore-installed", "--no-deps", "--no-index"),
            *("--no-build-isolation", "--no-cache-dir"),
        ],
        env={**os.environ, "LLM_MAGIC_LABEXTENSION": "require"},
        check=True,
    )

    listed = subprocess.run(
        [sys.executable, "-m", "jupyter", "labextension", "list"],
        env={**os.environ, "JUPYTER_PATH": str(prefix / "share" / "jupyter")},
        capture_output=True,
        text=True,
        check=True,
    )

    told = re.sub(r"\x1b\[\d*m", "", listed.stdout + listed.stderr)
    ours = told.partition(str(prefix))[2].partition("\n\n")[0]
    assert re.search(rf"llm-magic v{llm_magic.__version__} enabled +OK", ours), told


def test_the_lock_file_has_no_addresses_to_download_from():
    packages = json.loads((FRONT / "package-lock.json").read_text())["packages"]

    assert packages
    assert not [name for name, package in packages.items() if "resolved" in package]


def test_all_say_the_same_version():
    package = json.loads((FRONT / "package.json").read_text())
    lock = json.loads((FRONT / "package-lock.json").read_text())

    assert package["version"] == lock["version"] == llm_magic.__version__


def test_no_text_of_the_front_end_is_put_into_a_page_as_markup():
    sources = {path: path.read_text() for path in (FRONT / "src").rglob("*.ts")}

    markup = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|setHTML")
    assert not [path.name for path, text in sources.items() if markup.search(text)]
