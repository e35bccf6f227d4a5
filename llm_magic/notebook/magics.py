"""``%%complete``, ``%complete`` and ``%llm``: each parses, calls one function, displays."""

from __future__ import annotations

import keyword
import shlex
import warnings
import weakref
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display as show_diagnosis

from llm_magic import client, doctor, history
from llm_magic.exceptions import LLMMagicError, ParameterWarning, ReplayMissError
from llm_magic.notebook import commands, display, options
from llm_magic.notebook.cell import CellRuns
from llm_magic.notebook.display import AnswerText, LiveAnswer
from llm_magic.notebook.questions import Question
from llm_magic.secrets import redact
from llm_magic.templates import expand
from llm_magic.types import Completion, Mode

__all__ = ["CompleteMagics", "load", "unload"]


@magics_class
class CompleteMagics(Magics):
    """The magics of llm-magic."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.runs = CellRuns(shell)

    @no_var_expand
    @magic_arguments()
    @argument("-m", "--model", help="model to ask, as provider/model, such as openai/gpt-5-mini")
    @argument("-s", "--system", help='system message; "quote it" when it has spaces')
    @argument("-T", "--temperature", type=float, help="sampling temperature")
    @argument("--max-tokens", type=int, help="most tokens that the answer may have")
    @argument("--schema", help="what the answer looks like: a class, or fields as name, age int")
    @argument("--mode", help="REPLAY, FALLBACK, CAPTURE or DISABLED, for this cell")
    @argument("--refresh", action="store_true", help="ask again and overwrite: --mode CAPTURE")
    @argument("--out", metavar="NAME", help="variable that gets the answer")
    @argument(
        "--format",
        choices=list(display.FORMATS),
        default="md",
        help="how the answer is shown; html is shown as source, none shows nothing",
    )
    @argument("--raw", action="store_true", help="leave {{ expressions }} in the prompt alone")
    @line_cell_magic
    def complete(self, line: str, cell: str | None = None) -> AnswerText | None:
        """Ask a language model; the cell is the prompt.

        The answer streams into the cell, is recorded, and replays for nothing when the cell runs
        again. {{ expression }} in the prompt becomes the value of that Python expression; all
        other text is sent as it stands. In one line, `answer = %complete -m MODEL what is love?`
        gives the text.
        """
        parser = self.complete.parser
        if cell is None:
            arguments, prompt = options.parse_line(parser, line)
            if not prompt:
                raise UsageError("%complete what? write the prompt after the options")
        else:
            arguments, prompt = options.parse_cell_line(parser, line), cell.removesuffix("\n")
            if not prompt.strip():
                raise UsageError("%%complete: the cell is empty; write the prompt below")
        try:
            return self._complete(arguments, prompt, in_line=cell is None)
        except (LLMMagicError, KeyboardInterrupt) as error:
            _shorten(error)
            raise

    def _complete(self, arguments: Any, prompt: str, *, in_line: bool) -> AnswerText | None:
        if arguments.out is not None and not _is_name(arguments.out):
            raise UsageError(f"--out {arguments.out}: that is no name for a variable")
        if not arguments.raw and not in_line:
            prompt = expand(prompt, self.shell.user_ns)
        stream = client.default().stream(
            prompt,
            model=arguments.model,
            system=arguments.system,
            temperature=arguments.temperature,
            max_tokens=arguments.max_tokens,
            schema=self._schema(arguments.schema),
            mode=Mode.CAPTURE if arguments.refresh else arguments.mode,
        )
        completion = _show(stream, "none" if in_line else arguments.format)
        answer = AnswerText(completion.text, completion, arguments.format)
        if arguments.out is not None:
            self.shell.push({arguments.out: _value(answer, arguments)})
        return answer if in_line else None

    def _schema(self, text: str | None) -> Any:
        """What --schema names: a class or dict of the user's, else the text itself."""
        if text is not None and text.isidentifier() and text in self.shell.user_ns:
            return self.shell.user_ns[text]
        return text

    @no_var_expand
    @line_magic
    def llm(self, line: str) -> Any:
        """Look and set: mode, models, alias, cost, history, cassette, forget, config, status.

        %llm status              mode, model, recordings and money at a glance
        %llm mode [MODE]         REPLAY, FALLBACK, CAPTURE or DISABLED
        %llm models [TEXT]       providers, and whether their keys are set; models with TEXT in them
        %llm alias [NAME=MODEL]  your own words for models
        %llm cost                spent, saved, unknown
        %llm history [NUMBER]    the newest calls as a DataFrame
        %llm cassette [save]     the recordings that travel with the notebook
        %llm cassette list [TEXT], show KEY, diff, prune [--yes]
        %llm forget KEY [--yes]  remove recordings and texts; or --cell TEXT, --text TEXT
        %llm config [NAME=VALUE] settings, and where each comes from
        """
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise UsageError(f"%llm {line}: {error}") from None
        try:
            shown = commands.run(words)
        except LLMMagicError as error:
            _shorten(error)
            raise
        if isinstance(shown, str):
            print(shown)
            return None
        return shown


def _show(stream: Any, format: str) -> Completion:
    """Read a stream to its end and display it: growing when it is live, at once when replayed."""
    live = LiveAnswer(format)
    replayed = stream.source == "replay"
    try:
        with stream, warnings.catch_warnings():
            # What was not sent stands in the footer.
            warnings.simplefilter("ignore", ParameterWarning)
            for chunk in stream:
                if not replayed and stream.source == "live":
                    live.add(chunk.text)
    except LLMMagicError as error:
        live.fail(error)
        raise
    except KeyboardInterrupt:
        live.fail("interrupted")
        raise
    if stream.source == "replay":
        display.show(stream.completion, format)
    else:
        live.finish(stream.completion)
    return stream.completion


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)


def _value(answer: AnswerText, arguments: Any) -> Any:
    """What --out binds: data where data was asked for; an answer that is none is there as text."""
    if arguments.schema is not None:
        return answer.parsed
    if arguments.format != "json":
        return answer
    try:
        return answer.json()
    except ValueError:
        return answer


def _told(error: LLMMagicError) -> str:
    """The error's message; of a miss also why, so that a terminal and a CI log show it."""
    if not isinstance(error, ReplayMissError) or error in _diagnosed:
        return str(error)
    diagnosis = doctor.diagnose(error, shelf=client.default().shelf)
    _diagnosed.add(error)
    if diagnosis.remedy and not display.in_terminal():
        show_diagnosis(diagnosis)
    return diagnosis.to_text()


# What was told once stays as it is: a magic may be called by another one.
_diagnosed: weakref.WeakSet[ReplayMissError] = weakref.WeakSet()


def _shorten(error: BaseException) -> None:
    """Let the error show as one line; it is raised all the same, so that the cell fails."""
    if isinstance(error, LLMMagicError):
        # A user's own {{ expression }} may fail with anything in its message.
        error.args = (redact(_told(error)), *error.args[1:])
    name, text = type(error).__name__, str(error)
    if isinstance(error, KeyboardInterrupt):
        text = "stopped; nothing of this answer was stored"
    # A provider's message may hold characters that drive a terminal.
    line = f"\x1b[31m{name}\x1b[0m: {display.visible(text)}"
    error._render_traceback_ = lambda: [line]  # type: ignore[attr-defined]


_loaded: dict[int, CompleteMagics] = {}


def load(shell: Any) -> None:
    """Register the magics and hooks; a second time changes nothing."""
    if id(shell) in _loaded:
        return
    magics = CompleteMagics(shell)
    shell.register_magics(magics)
    shell.input_transformer_manager.token_transformers.append(Question)
    _loaded[id(shell)] = magics


def unload(shell: Any) -> None:
    """Take the magics and hooks away, and close the files."""
    magics = _loaded.pop(id(shell), None)
    if magics is None:
        return
    magics.runs.close()
    shell.input_transformer_manager.token_transformers.remove(Question)
    for kind, names in magics.magics.items():
        for name in names:
            shell.magics_manager.magics[kind].pop(name, None)
    shell.magics_manager.registry.pop(type(magics).__name__, None)
    shell.configurables.remove(magics)
    client.close()
    history.close()
