"""A real JupyterLab, a real Chromium and a fake provider, the same for all tests of this folder.

Nothing waits for time, only for a state: a kernel that is idle, a text that is there. Nothing
leaves this machine: Chromium resolves no name, and a page that asks for anything but the server of
these tests fails its test, as does an error in the browser's console. What is worth looking at is
in ``out/NAME-light.png`` and ``out/NAME-dark.png`` (``Tab.photograph``), and so is the page of a
test that failed.

To load JupyterLab takes longer than most tests do, so they share a page, in which each opens its
own notebook. A test for which it is loaded otherwise is marked ``own_page``.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

import nbformat
import pytest

from llm_magic.testing import FakeServer

OUT = Path(__file__).parent / "out"
_PATIENCE = 30  # seconds; a machine may have other things to do
_SIZE = {"width": 1200, "height": 900}

_SETTINGS = {
    # Asks for the news of the project, over the network.
    "apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    # All cells and all outputs are in the page, also those that nobody scrolled to.
    "notebook-extension/tracker": {"windowingMode": "none", "maxNumberOutputs": 9999},
}
_PAGE = {
    # No page asks the server whether it has to be built, which takes it a second.
    "buildAvailable": False,
    "buildCheck": False,
    # It covers the page while a theme changes, and trips over a second change meanwhile.
    "disabledExtensions": {"@jupyterlab/apputils-extension:splash": True},
}
_OFFLINE = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--no-first-run",
    "--no-proxy-server",
]


@pytest.fixture(scope="session")
def chromium():
    """The browser's program; its absence is a failure where tests decide about a change."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    reason = "there is no Chromium here: apt-get install chromium fonts-dejavu-core"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def extension():
    """Our JupyterLab extension, where the servers of these tests find it."""
    if (Path(sys.prefix) / "share/jupyter/labextensions/llm-magic/package.json").is_file():
        return
    reason = "our JupyterLab extension is not built: make test does it, with Node.js 20"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


class Lab:
    """A JupyterLab server with folders of its own.

    Parameters
    ----------
    base : pathlib.Path
        Where these are.
    models : FakeServer
        Whom its kernels ask.
    """

    def __init__(self, base, models):
        self.root = base / "root"
        self.data = base / "data"
        self.settings = base / "settings"
        self.models = models
        self._base = base
        self._token = secrets.token_hex(16)
        self._enders = ThreadPoolExecutor()
        self._ending = []
        for folder in (self.root, base / "home"):
            folder.mkdir()
        for name, content in _SETTINGS.items():
            path = base / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(content))
        self.page_config = base / "config" / "labconfig" / "page_config.json"
        self.page_config.parent.mkdir(parents=True)
        self.page_config.write_text(json.dumps(_PAGE))
        self._log = (base / "server.log").open("w+")
        self._process = subprocess.Popen(
            self._command(), env=self._environment(), stdout=self._log, stderr=self._log
        )
        self.url = self._address()

    def _command(self):
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": 0,
            # As behind JupyterHub: an address that forgets the prefix is one of nowhere.
            "ServerApp.base_url": "/user/someone/",
            "ServerApp.root_dir": self.root,
            "ServerApp.allow_root": True,
            "IdentityProvider.token": self._token,
            # `window.jupyterapp`, through which the tests ask what state the page is in.
            "LabApp.expose_app_in_browser": True,
            "JupyterNotebookApp.expose_app_in_browser": True,
            "LabApp.extension_manager": "readonly",
        }
        given = [f"--{name}={value}" for name, value in options.items()]
        return [sys.executable, "-m", "jupyterlab", "--no-browser", *given]

    def _environment(self):
        folders = {
            "HOME": "home",
            "IPYTHONDIR": "ipython",
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        }
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            **{name: str(self._base / folder) for name, folder in folders.items()},
            "OPENAI_BASE_URL": self.models.openai_url,
            "OPENAI_API_KEY": "sk-test-openai-0123456789abcdef",
            "LLM_MAGIC_MODEL": "openai/gpt-5-mini",
        }

    def _address(self):
        """Where it listens, which it writes into a file once it does."""
        end = time.monotonic() + _PATIENCE
        while self._process.poll() is None and time.monotonic() < end:
            for path in (self._base / "runtime").glob("jpserver-*.json"):
                text = path.read_text()
                if text.endswith("}"):
                    return json.loads(text)["url"]
            time.sleep(0.05)
        self._log.seek(0)
        raise RuntimeError(f"JupyterLab did not start:\n{self._log.read()[-4000:]}")

    def link(self, name, app="lab/tree"):
        """The address of a notebook; without the tabs that earlier tests left."""
        return f"{self.url}{app}/{quote(name)}?reset&token={self._token}"

    def end_kernels(self):
        """End those that run, which takes their time: the next test need not wait for it."""
        for session in json.loads(self._ask("GET", "api/sessions")):
            self._ending.append(
                self._enders.submit(self._ask, "DELETE", f"api/sessions/{session['id']}")
            )

    def _ask(self, method, path):
        headers = {"Authorization": f"token {self._token}"}
        request = Request(f"{self.url}{path}", method=method, headers=headers)
        with urlopen(request, timeout=_PATIENCE) as response:
            return response.read()

    def close(self):
        """End it, and its kernels with it."""
        self._enders.shutdown()
        for ended in self._ending:
            ended.result()
        self._process.terminate()
        self._process.wait(_PATIENCE)
        self._log.close()


@pytest.fixture(scope="session")
def lab(chromium, tmp_path_factory):
    """The server; it starts only where there is a browser for it."""
    with FakeServer() as models:
        lab = Lab(tmp_path_factory.mktemp("lab"), models)
        yield lab
        lab.close()


@pytest.fixture(scope="package")
def browser(chromium, tmp_path_factory):
    """One window of Chromium for this folder.

    Not for the session: as long as it is open, an event loop runs in this thread, and other tests
    could not start their own.
    """
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=_PATIENCE * 1000)
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            # It keeps what it fetched and compiled, which is all of JupyterLab.
            tmp_path_factory.mktemp("chromium"),
            executable_path=chromium,
            args=[*_OFFLINE, *sandbox],
            # As on most desktops: they take room.
            ignore_default_args=["--hide-scrollbars"],
            viewport=_SIZE,
        )
        context.set_default_timeout(_PATIENCE * 1000)
        yield context
        context.close()


# In the addresses of what our extension consists of.
_OURS = "/extensions/llm-magic/"
# JupyterLab asks the debugger of a kernel that it is about to restart, and tells that it is gone.
_NOT_OURS = "Could not restore the debugger state"
_UNTIL = """
  const until = async test => {
    for (let value; ; await new Promise(done => setTimeout(done, 20)))
      if ((value = test())) return value;
  };
"""
_OPENED = f"""async name => {{ {_UNTIL}
  const app = await until(() => window.jupyterapp);
  await app.restored;
  const panel = await until(() => {{
    const widget = app.shell.currentWidget;
    return widget?.context?.path === name && widget.content?.activeCellIndex !== undefined
      && widget;
  }});
  await panel.context.ready;
  await panel.revealed;
  await panel.sessionContext.ready;
  await until(() => panel.sessionContext.session?.kernel?.status === 'idle');
}}"""
# Without what it returns: some return a notebook, and copying one over here takes seconds.
_COMMAND = """async ([name, options]) => {
  await window.jupyterapp.commands.execute(name, options);
}"""
_SELECT = """index => {
  const notebook = window.jupyterapp.shell.currentWidget.content;
  notebook.activeCellIndex = index;
  notebook.deselectAll();
}"""
_BEGIN = "() => { void window.jupyterapp.commands.execute('notebook:run-cell'); }"
_RESTART = "() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()"
_CARRIES = """mode => {
  const { model } = window.jupyterapp.shell.currentWidget.context;
  return (model.getMetadata('llm_magic')?.mode ?? null) === mode;
}"""
_SAVE = "() => window.jupyterapp.shell.currentWidget.context.save()"
_CLEAR = """() => {
  const { shell } = window.jupyterapp;
  for (const widget of [...shell.widgets('main'), ...shell.widgets('down')]) widget.dispose();
  shell.collapseRight();
  shell.expandLeft();
  // A notice stays as long as the pointer is over it, and their list until somebody closes it; both
  // are over the panel's buttons.
  for (const close of document.querySelectorAll('.jp-Notification-Toast-Close')) close.click();
  if (document.querySelector('.jp-Notification-List'))
    window.jupyterapp.commands.execute('apputils:display-notifications');
  delete window.ran;
}"""
# What hostile texts would do.
_PWNED = "window.pwned = () => { window.ran = true }"
_THEMED = "light => document.body.dataset.jpThemeLight === String(light)"
# Light on dark and dark on light: what is written with less contrast than people can read.
_FAINT = """part => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const over = (top, below) => {
    const share = top[3] ?? 1;
    return [0, 1, 2].map(at => share * top[at] + (1 - share) * below[at]);
  };
  const background = node => {
    if (!node) return [255, 255, 255];
    return over(parts(getComputedStyle(node).backgroundColor), background(node.parentElement));
  };
  const light = colour => {
    const [red, green, blue] = colour.map(part => part / 255)
      .map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const written = [...part.querySelectorAll('*')].filter(node =>
    node.checkVisibility() && !node.disabled && !node.closest('[aria-hidden=true]')
    && [...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim()));
  return written.filter(node => node.tagName !== 'STYLE').map(node => {
    const below = background(node);
    const ink = over(parts(getComputedStyle(node).color), below);
    const [one, other] = [light(ink), light(below)].sort((a, b) => b - a);
    return [(one + 0.05) / (other + 0.05), node.textContent.trim().slice(0, 40)];
  }).filter(([contrast]) => contrast < 4.5);
}"""
_FORMULA = """() => document.querySelector('mjx-container') !== null"""


class Tab:
    """A notebook in a page of JupyterLab.

    Parameters
    ----------
    lab : Lab
        The server.
    page : playwright.sync_api.Page
        The page.
    app : str
        Where notebooks are in addresses. Of pages in one workspace JupyterLab leads all but the
        first to another one, so a page that is not shared has a workspace of its own.
    """

    def __init__(self, lab, page, app="lab/tree"):
        self.lab = lab
        self.models = lab.models
        self.page = page
        self._app = app
        page.add_init_script(_PWNED)
        self.problems = []
        # Whether errors of JupyterLab's own are none of the test's.
        self.forgives = False
        page.on("request", self._requested)
        page.on("websocket", self._requested)
        page.on("pageerror", self._failed)
        page.on("console", self._said)
        page.on("dialog", self._asked)

    def _requested(self, request):
        parts = urlsplit(request.url)
        ours = parts.netloc == urlsplit(self.lab.url).netloc
        if not ours and parts.scheme not in ("blob", "data", "file"):
            self.problems.append(f"request: {request.url}")

    def _failed(self, error):
        # What is no error has no stack. JupyterLab rejects promises so when a kernel goes away; our
        # own code cannot, its linter sees to that.
        if error.stack and (not self.forgives or _OURS in error.stack):
            self.problems.append(f"error: {error.stack}")

    def _said(self, message):
        # Of our own not even a debug message.
        is_ours = _OURS in message.location["url"]
        is_error = message.type == "error" and not message.text.startswith(_NOT_OURS)
        if is_error or is_ours:
            self.problems.append(f"console: {message.text} ({message.location['url']})")

    def _asked(self, dialog):
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def write(self, name, *cells, outputs=(), metadata=None):
        """Write a notebook from its cells or their code, with the outputs of the last one."""
        kernelspec = {"name": "python3", "display_name": "Python 3"}
        content = nbformat.v4.new_notebook(
            cells=[
                nbformat.v4.new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells
            ],
            metadata={"kernelspec": kernelspec, **(metadata or {})},
        )
        content.cells[-1].outputs += outputs
        path = self.lab.root / name
        # An earlier test's kernel may still be about to end.
        assert not path.exists()
        nbformat.write(content, path)
        return path

    def open(self, name, *cells, **options):
        """Write a notebook and open it; its kernel is idle afterwards."""
        path = self.write(name, *cells, **options)
        self.show(name)
        return path

    def show(self, name):
        """Open a notebook that is there, as :meth:`open` does."""
        if self.in_lab:
            # What is over by now was of the test before.
            self.problems.clear()
            self.command("docmanager:open", path=name)
        else:
            self.page.goto(self.lab.link(name, self._app))
        self.opened(name)

    @property
    def in_lab(self):
        """Whether the page shows JupyterLab."""
        return self.page.evaluate("'jupyterapp' in window")

    def opened(self, name):
        """Wait until a notebook is what people look at, and its kernel idle."""
        self.page.evaluate(_OPENED, name)

    def reload(self, name):
        """Load the page again, with no tab but this notebook's."""
        self.page.goto(self.lab.link(name, self._app))
        self.opened(name)

    def cell(self, index):
        """A code cell, by its place."""
        return self.page.locator(".jp-NotebookPanel .jp-CodeCell").nth(index)

    def output(self, index):
        """The area with all outputs of a cell."""
        return self.cell(index).locator(".jp-Cell-outputArea")

    def begin(self, index):
        """Run a cell, and do not wait for it."""
        self.page.evaluate(_SELECT, index)
        self.page.evaluate(_BEGIN)

    def run(self, index):
        """Run a cell to its end."""
        self.page.evaluate(_SELECT, index)
        self.command("notebook:run-cell")

    def run_all(self):
        """Run all cells, or those up to the first that fails."""
        self.command("notebook:run-all-cells")

    def ended(self, index):
        """Wait for the end of a cell: it has a number then."""
        from playwright.sync_api import expect

        prompt = self.cell(index).locator(".jp-InputArea-prompt").first
        expect(prompt).to_have_text(re.compile(r"^\[\d+\]:$"))

    def command(self, name, **options):
        """Do one of JupyterLab's commands, to its end."""
        self.page.evaluate(_COMMAND, [name, options])

    def stop(self):
        """Press the stop button of the notebook's toolbar."""
        self.page.locator("[data-jp-item-name=interrupt] jp-button").click()

    def restart(self, name):
        """A new kernel; the outputs stay."""
        self.page.evaluate(_RESTART)
        self.opened(name)

    def save(self):
        """Save the notebook."""
        self.page.evaluate(_SAVE)

    def carries(self, mode):
        """Wait until the notebook carries a mode; the kernel tells it a moment before."""
        self.page.wait_for_function(_CARRIES, arg=mode)

    def notices(self):
        """The list of JupyterLab's notifications; the test may have opened it already."""
        listed = self.page.locator(".jp-Notification-List")
        if not listed.is_visible():
            self.command("apputils:display-notifications")
        return listed

    def typeset(self):
        """Wait until MathJax has shown a formula."""
        self.page.wait_for_function(_FORMULA)

    def theme(self, *, light):
        """Change JupyterLab's theme."""
        name = "JupyterLab Light" if light else "JupyterLab Dark"
        self.command("apputils:change-theme", theme=name)
        self.page.wait_for_function(_THEMED, arg=light)

    def unreadable(self, part):
        """What stands in a part of the page with too little contrast, in either theme."""
        found = []
        for light in (False, True):
            self.theme(light=light)
            found += part.evaluate(_FAINT)
        return found

    def photograph(self, name, themes=("dark", "light")):
        """Keep what is seen, in both themes of JupyterLab; the light one is left on."""
        OUT.mkdir(exist_ok=True)
        in_lab = self.in_lab
        for theme in themes if in_lab else ("page",):
            if in_lab:
                self.theme(light=theme == "light")
            self.page.screenshot(path=OUT / f"{name}-{theme}.png", animations="disabled")


@pytest.fixture(scope="package")
def shared():
    """The page that tests have in common, once there is one."""
    return []


@pytest.fixture
def tab(lab, browser, shared, request):
    """A page; it fails the test that let it fetch something or print an error."""
    lab.models.clear()
    is_own = request.node.get_closest_marker("own_page") is not None
    if is_own:
        tab = Tab(lab, browser.new_page(), f"lab/workspaces/{request.node.name}/tree")
    elif shared:
        tab = shared.pop()
        tab.page.bring_to_front()
        tab.page.set_viewport_size(_SIZE)
    else:
        tab = Tab(lab, browser.new_page())
    failed = request.session.testsfailed
    yield tab
    try:
        problems = list(tab.problems)
        # After a failure nobody knows what the page is in the middle of.
        if problems or request.session.testsfailed > failed:
            tab.photograph(request.node.name, themes=["light"])
        elif not is_own:
            tab.page.evaluate(_CLEAR)
            shared.append(tab)
    finally:
        if tab not in shared:
            tab.page.close()
        lab.end_kernels()
    assert problems == []


@pytest.fixture
def plain_page(lab, browser):
    """A page for a file of its own, without JupyterLab; it fails its test for what a tab does."""
    tab = Tab(lab, browser.new_page())
    yield tab.page
    tab.page.close()
    assert tab.problems == []


def pytest_collection_modifyitems(items):
    """Tests of a module stay together where several processes share the work."""
    for item in items:
        if item.path.parent == OUT.parent:
            item.add_marker(pytest.mark.xdist_group(f"browser/{item.path.stem}"))
