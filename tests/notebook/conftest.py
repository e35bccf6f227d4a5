"""Shells and kernels that tests run cells in."""

from __future__ import annotations

import atexit
import contextlib
import io
import queue
import re
import threading
import time
import uuid
from html.parser import HTMLParser

import nbformat
import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.manager import KernelManager
from jupyter_client.session import json_packer
from traitlets.config import Config

from llm_magic import cli
from llm_magic.notebook import changes
from llm_magic.notebook.lab import CONTROL, STATE, VERSION
from llm_magic.notebook.lab_bridge import Bridge

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PATIENCE = 60


class Notebook:
    """A shell that runs cells as a notebook does; a cell that fails raises here."""

    def __init__(self, shell):
        self.shell = shell
        self.printed = ""

    @property
    def outputs(self):
        """Displays and updates of the last cell."""
        return self.shell.display_pub.outputs

    @property
    def names(self):
        """The user's variables."""
        return self.shell.user_ns

    def run(self, cell, **options):
        """Run a cell; returns the value of its last line."""
        self.outputs.clear()
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            result = self.shell.run_cell(cell, **options)
        self.printed = _COLOUR.sub("", printed.getvalue())
        result.raise_error()
        return result.result

    def fails(self, cell, kind):
        """Run a cell that fails with that kind of error; returns what the user reads."""
        with pytest.raises(kind):
            self.run(cell)
        return self.printed.strip()

    @property
    def shown(self):
        """The last output's plain text, as it stands when the cell has ended."""
        return self.outputs[-1]["data"]["text/plain"]


@pytest.fixture
def shell():
    """A shell without our extension, as a terminal has it; its displays are kept."""
    InteractiveShell.clear_instance()
    instance = InteractiveShell.instance(
        colors="nocolor", config=Config({"HistoryManager": {"enabled": False}})
    )
    instance.display_pub = CapturingDisplayPublisher()
    yield instance
    instance.run_cell("%unload_ext llm_magic", silent=True)
    atexit.unregister(instance.atexit_operations)
    instance.atexit_operations()
    InteractiveShell.clear_instance()


@pytest.fixture
def terminal(shell):
    """A terminal's shell with our extension."""
    terminal = Notebook(shell)
    terminal.run("%load_ext llm_magic")
    return terminal


@pytest.fixture
def notebook(shell):
    """A notebook's shell with our extension, asking a model of the fake server."""
    # What tells a notebook from a terminal is that the shell has a kernel.
    shell.kernel = object()
    notebook = Notebook(shell)
    notebook.run("%load_ext llm_magic")
    notebook.run("%llm config model=openai/gpt-5-mini")
    return notebook


@pytest.fixture
def wait_for():
    """Wait until a trait of a widget passes a test; widgets are closed at the end."""

    def wait(widget, name, passes):
        passed = threading.Event()

        def look(change=None):
            if passes(getattr(widget, name)):
                passed.set()

        widget.observe(look, name)
        look()
        assert passed.wait(_PATIENCE), f"{name} stayed {getattr(widget, name)!r}"
        widget.unobserve(look, name)

    yield wait
    changes.close()


_INERT = {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "div", "blockquote", "pre", "hr", "br", "style"),
    *("a", "b", "code", "del", "details", "em", "ins", "ol", "s", "span", "strong", "summary"),
    *("li", "table", "caption", "tbody", "td", "th", "thead", "tr", "ul"),
}
_TOLD = {"class", "open", "rel", "role", "scope", "start", "target"}


class Active(HTMLParser):
    """Finds what of some HTML could do anything."""

    def __init__(self, shown):
        super().__init__()
        self.found = []
        self.feed(shown)
        self.close()

    def handle_starttag(self, tag, attributes):
        if tag not in _INERT:
            self.found.append(tag)
        for name, value in attributes:
            if name == "href":
                inert = tag == "a" and value.startswith(("http://", "https://"))
            elif name == "style":
                inert = "url" not in value and "expression" not in value
            else:
                inert = name in _TOLD or name.startswith("aria-")
            if not inert:
                self.found.append((tag, name, value))

    def handle_comment(self, data):
        self.found.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


@pytest.fixture
def active():
    """What of some HTML could do anything; nothing of ours can."""
    return lambda shown: Active(shown).found


class Kernel:
    """A kernel process; cells run in it as a front end runs them."""

    def __init__(self, folder, environment):
        options = {"env": environment} if environment is not None else {}
        for is_last in (False, False, True):
            self.manager = KernelManager(kernel_name="python3")
            self.manager.start_kernel(
                cwd=str(folder), extra_arguments=["--IPKernelApp.log_level=40"], **options
            )
            try:
                self._connect()
            except RuntimeError as error:
                # A port that was free when jupyter_client chose it may be taken by now.
                self.client.stop_channels()
                self.manager.cleanup_resources()
                if is_last or "before replying" not in str(error):
                    raise
            else:
                return

    def _connect(self):
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=_PATIENCE)

    def begin(self, code):
        """Send a cell; returns the id of its request."""
        return self.client.execute(code)

    def message(self, request, wanted):
        """The next message about that request for which `wanted(message)` holds."""
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise TimeoutError("the kernel did not say it") from None
            if message["parent_header"].get("msg_id") == request and wanted(message):
                return message

    def finish(self, request):
        """Wait for the end of a cell: its messages until idle, and its reply."""
        messages = []

        def ended(message):
            messages.append(message)
            kind, content = message["msg_type"], message["content"]
            return kind == "status" and content["execution_state"] == "idle"

        self.message(request, ended)
        while True:
            reply = self.client.get_shell_msg(timeout=_PATIENCE)
            if reply["parent_header"].get("msg_id") == request:
                return messages, reply["content"]

    def run(self, code):
        """Run a cell that ends well; returns its messages."""
        messages, reply = self.finish(self.begin(code))
        assert reply["status"] == "ok", reply.get("traceback")
        return messages

    def printed(self, code):
        """Run a cell; returns what it printed."""
        return "".join(
            message["content"]["text"]
            for message in self.run(code)
            if message["msg_type"] == "stream"
        )

    def features(self):
        """What this kernel can do beyond the protocol."""
        request = self.client.kernel_info()
        while True:
            reply = self.client.get_shell_msg(timeout=_PATIENCE)
            if reply["parent_header"].get("msg_id") == request:
                return reply["content"].get("supported_features", [])

    def restart(self):
        """A new process with the same settings."""
        self.client.stop_channels()
        self.manager.restart_kernel(now=True)
        self._connect()

    def close(self):
        """End the process."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@pytest.fixture
def start_kernel(tmp_path):
    """Start kernels in the test's folder; they end with the test."""
    kernels = []

    def start(environment=None):
        kernels.append(Kernel(tmp_path / "work", environment))
        return kernels[-1]

    yield start
    for kernel in kernels:
        kernel.close()


class Pages:
    """What the pages of a notebook hear, in this process."""

    def __init__(self):
        self.heard = []
        self._news = threading.Condition()
        self.bridge = Bridge(self._hear)

    def _hear(self, message):
        json_packer(message)  # as on its way to a real page
        with self._news:
            self.heard.append(message)
            self._news.notify_all()

    def wait(self, wanted):
        """The first message, of all that were heard, for which ``wanted(message)`` holds."""

        def found():
            return next((message for message in self.heard if wanted(message)), None)

        with self._news:
            assert self._news.wait_for(found, _PATIENCE), self.heard
            return found()

    def begin(self, kind, **about):
        """Ask; returns the id."""
        name = uuid.uuid4().hex
        self.bridge.hear({"type": kind, "id": name, **about})
        return name

    def reply(self, name):
        """The answer to what was asked under this id."""
        return self.wait(lambda one: one["type"] == "reply" and one["id"] == name)

    def ask(self, kind, **about):
        """The result of what is asked."""
        reply = self.reply(self.begin(kind, **about))
        assert reply["error"] is None, reply
        return reply["result"]

    def refused(self, kind, **about):
        """The error of what is asked."""
        reply = self.reply(self.begin(kind, **about))
        assert reply["result"] is None
        return reply["error"]

    def hello(self, notebook=None, mode=None):
        """What a page says when it comes."""
        return self.ask("hello", version=VERSION, notebook=notebook, mode=mode)

    @property
    def state(self):
        """The state that was told last."""
        return [one for one in self.heard if one["type"] == "state"][-1]

    @property
    def calls(self):
        """The calls as a page has them: changed ones in their place."""
        known = {}
        for message in self.heard:
            if message["type"] == "calls":
                known = {} if message["reset"] else known
                known |= {call["id"]: call for call in message["calls"]}
        return list(known.values())


@pytest.fixture
def pages():
    """The pages of a notebook, which have said nothing yet."""
    made = Pages()
    yield made
    made.bridge.close()


class KernelPage:
    """A page on a kernel, as JupyterLab has one: it asks on a subshell, where there are any."""

    def __init__(self, kernel):
        self._kernel = kernel
        self._client = kernel.client
        self._comm = uuid.uuid4().hex
        self._subshell = None
        # What the kernel printed or logged meanwhile.
        self.printed = ""
        features = kernel.features()
        if "kernel subshells" in features:
            request = self._send("create_subshell_request", {}, self._client.control_channel)
            while True:
                reply = self._client.get_control_msg(timeout=_PATIENCE)
                if reply["parent_header"]["msg_id"] == request:
                    break
            self._subshell = reply["content"]["subshell_id"]

    def _send(self, kind, content, channel=None):
        message = self._client.session.msg(kind, content)
        if channel is None and self._subshell is not None:
            message["header"]["subshell_id"] = self._subshell
        (channel or self._client.shell_channel).send(message)
        return message["header"]["msg_id"]

    def open(self, **asked):
        """Open the comm; the first question comes with it."""
        return self._send(
            "comm_open", {"comm_id": self._comm, "target_name": CONTROL, "data": asked}
        )

    def send(self, asked):
        """Ask something else."""
        return self._send("comm_msg", {"comm_id": self._comm, "data": asked})

    def close(self):
        """Close the comm, as a page does that is left."""
        return self._send("comm_close", {"comm_id": self._comm, "data": {}})

    def hears(self, wanted):
        """The next message of llm-magic for which ``wanted(data)`` holds."""
        end = time.monotonic() + _PATIENCE
        while True:
            message = self._client.get_iopub_msg(timeout=max(0.0, end - time.monotonic()))
            data = message["content"].get("data")
            if message["msg_type"] == "stream":
                self.printed += message["content"]["text"]
            if message["msg_type"] == "comm_msg" and wanted(data):
                return data

    def reply(self, name):
        """The answer to what was asked under this id."""
        return self.hears(lambda data: data["type"] == "reply" and data["id"] == name)

    def hello(self, **about):
        """Open the comm with a hello; returns the state that comes."""
        asked = {"version": VERSION, "notebook": None, "mode": None, **about}
        self.open(type="hello", id="hello", **asked)
        return self.hears(lambda data: data["type"] == "state")


@pytest.fixture
def open_page(monkeypatch, tmp_path, start_kernel):
    """A kernel that was started for a notebook in Lab, with llm-magic loaded; and a page on it."""

    def start(*lines, name="a.ipynb"):
        monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "work" / name))
        kernel = start_kernel()
        kernel.opened = [
            message["content"]
            for message in kernel.run("\n".join(["%load_ext llm_magic", *lines]))
            if message["msg_type"] == "comm_open"
        ]
        assert [one["target_name"] for one in kernel.opened] == [STATE]
        return kernel, KernelPage(kernel)

    return start


@pytest.fixture
def write_notebook(tmp_path):
    """Write a notebook from its cells' code; returns its path."""

    def write(name, *cells):
        content = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells]
        )
        path = tmp_path / "work" / name
        nbformat.write(content, path)
        return path

    return write


@pytest.fixture
def run_notebook(monkeypatch, tmp_path):
    """Run a notebook in a kernel through nbclient; returns its cells as they are saved."""

    def run(path, *options):
        output = tmp_path / "run.ipynb"
        code = cli.main(["run", str(path), "-o", str(output), *options])
        assert code == 0
        return nbformat.read(output, as_version=4).cells

    return run
