"""``%%complete``, ``%complete`` and ``%llm``: each parses, calls one function, displays."""

from __future__ import annotations

import shlex
from typing import Any

from IPython.core.completer import completion_matcher
from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, no_var_expand
from IPython.display import display as show_object

from llm_magic import chats, client, history
from llm_magic.batch import Question
from llm_magic.exceptions import LLMMagicError
from llm_magic.notebook import asking, background, changes, chat_commands, complete_options, showing
from llm_magic.notebook import template_commands as templates
from llm_magic.notebook.asking import Asked
from llm_magic.notebook.background import BackgroundAnswer
from llm_magic.notebook.cell import CellRuns
from llm_magic.notebook.display import AnswerText
from llm_magic.notebook.failing import shorten
from llm_magic.notebook.questions import Question as QuestionMark
from llm_magic.notebook.traits import NAMES, Setting
from llm_magic.preview import LIVE
from llm_magic.types import Completion

__all__ = ["CompleteMagics", "load", "unload"]


@magics_class
class CompleteMagics(Magics):
    """The magics of llm-magic."""

    model, mode, format, system, temperature, max_tokens, confirm_above = map(Setting, NAMES)

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.runs = CellRuns(shell, background.stop_all)

    @no_var_expand
    @complete_options.options
    @line_cell_magic
    def complete(self, line: str, cell: str | None = None) -> Any:
        """Ask a language model; the cell is the prompt.

        The answer streams into the cell, is recorded, and replays for nothing when the cell runs
        again. {{ expression }} in the prompt becomes the value of that Python expression; all
        other text is sent as it stands. In one line, `answer = %complete -m MODEL what is love?`
        gives the text.

            %%complete -m openai/gpt-5-mini --out answer      the text, with .cost and .json()
            %%complete -m openai/gpt-5,anthropic/claude-sonnet-4-6      side by side
            %%complete -t summary -p language Dutch           prompts/summary.md
            %%complete --chat planning                        goes on with that chat
            %%complete --map frame.text --out summaries       once for each {{ item }}
            %%complete --background --out answer              later: await answer

        `%config CompleteMagics` shows and sets what counts where a cell says nothing.
        """
        try:
            asked = asking.read(line, cell)
            if asked.options.chat is not None:
                asked = asked.after(chat_commands.open_for_cell(asked.options.chat))
            templates.remember(asked)
            answers = self._answers(asked)
            if answers is None:
                return None
            value, returned = answers
            if asked.options.out is not None:
                self.shell.push({asked.options.out: value})
            return returned if asked.in_line else None
        except (LLMMagicError, KeyboardInterrupt) as error:
            shorten(error)
            raise

    def _answers(self, asked: Asked) -> tuple[Any, Any] | None:
        """What ``--out`` binds, and what ``%complete`` gives back; None where nothing was asked."""
        names, given = self.shell.user_ns, asked.options
        if given.map is not None:
            from llm_magic.notebook import mapping  # for those who have many to ask

            if given.dry_run:
                return mapping.preview(asked, names)
            return mapping.map_prompt(asked, names), None
        questions = [Question(*asked.call(names, model)) for model in asked.models]
        if given.dry_run:
            for question in questions:
                seen = client.default().preview(question.prompt, stream=True, **question.options)
                show_object(seen)
            return None
        shown_as = "none" if asked.in_line else asked.format
        if len(questions) > 1:
            from llm_magic.notebook import side_by_side

            completions = side_by_side.ask(asked.models, questions, shown_as)
            answers = [AnswerText(one.text, one, asked.format) for one in completions]
            return [asked.value(answer) for answer in answers], answers
        if given.background and _would_be_live(questions[0]):
            under_way = BackgroundAnswer(questions[0], asked.value, shown_as)
            return under_way, under_way
        return self._answer(asked, questions[0], shown_as)

    def _answer(self, asked: Asked, question: Question, shown_as: str) -> tuple[Any, Any]:
        completion = showing.ask(question.prompt, question.options, shown_as)
        answer = AnswerText(completion.text, completion, asked.format)
        if asked.chat is not None:
            system = question.options["system"]
            chat_commands.keep(asked.chat.name, question.prompt[-1], completion, system)
        if asked.options.background:
            done = BackgroundAnswer.of(asked.value(answer))
            return done, done
        self._offer_code(asked, completion)
        return asked.value(answer), answer

    def _offer_code(self, asked: Asked, completion: Completion) -> None:
        """Put the code of a new answer into the next cell; nobody runs it but the user.

        A replay does not: running a notebook again must not add cells to it.
        """
        wanted = asked.format == "code" and asked.options.out is None and not asked.in_line
        if wanted and completion.source == LIVE:
            self.shell.set_next_input(asking.code_in(completion.text))

    @completion_matcher(identifier="llm_magic", api_version=2, priority=100)
    def matches(self, context: Any) -> Any:
        """What the Tab key offers in our lines."""
        # Not needed to load the extension, which people wait for.
        from llm_magic.notebook import completions

        return completions.matches(context, self.shell.user_ns)

    @no_var_expand
    @line_magic
    def llm(self, line: str) -> Any:
        """Look at the state of things and set it; without words, what matters at a glance.

        %llm status              mode, model, recordings and money at a glance
        %llm mode [MODE]         REPLAY, FALLBACK, CAPTURE or DISABLED
        %llm models [TEXT]       providers, and whether their keys are set; models with TEXT in them
        %llm alias [NAME=MODEL]  your own words for models
        %llm cost                spent, saved, unknown; with --by model|cell|day|tag|notebook and
                                 filters such as --since 7d: a table, and a chart over time
        %llm budget [USD] [--per session|call|cell|day|process]; off takes it away
        %llm plan [NOTEBOOK]     what a run of the notebook would ask and cost; nothing is run
        %llm chats               the chats; show NAME, fork NAME NEW [TURNS], reset NAME,
                                 export NAME [FILE]
        %llm template            the templates; show NAME, save NAME [--force] what was just asked
        %llm history [NUMBER]    the newest calls as a DataFrame
        %llm cassette [save]     the recordings that travel with the notebook
        %llm cassette list [TEXT], show KEY, diff, prune [--yes]
        %llm cassette verify     does the notebook, as it was saved, run again
        %llm forget KEY [--yes]  remove recordings and texts; or --cell TEXT, --text TEXT
        %llm attach [HOST ...]   record what other libraries ask models, too; --status tells of it
        %llm detach              leave other libraries alone again
        %llm panel               all of this to click: models, prompt, history, cassette, cost meter
        %llm config [NAME=VALUE] settings, and where each comes from
        """
        # Not needed to load the extension, which people wait for.
        from llm_magic.notebook import commands

        try:
            words = shlex.split(line)
        except ValueError as error:
            raise UsageError(f"%llm {line}: {error}") from None
        try:
            shown = commands.run(words)
        except LLMMagicError as error:
            shorten(error)
            raise
        if isinstance(shown, str):
            print(shown)
            return None
        return shown


def _would_be_live(question: Question) -> bool:
    """A recorded answer, and one that is missing in REPLAY, are there at once."""
    seen = client.default().preview(question.prompt, stream=True, **question.options)
    return seen.source == LIVE


_loaded: dict[int, CompleteMagics] = {}
_comms: dict[int, Any] = {}


def load(shell: Any) -> None:
    """Register the magics and hooks; a second time changes nothing."""
    if id(shell) in _loaded:
        return
    magics = CompleteMagics(shell)
    shell.register_magics(magics)
    shell.input_transformer_manager.token_transformers.append(QuestionMark)
    shell.Completer.custom_matchers.append(magics.matches)
    _loaded[id(shell)] = magics
    if hasattr(getattr(shell, "kernel", None), "comm_manager"):
        from llm_magic.notebook.lab_comms import Comms  # a terminal has nobody to talk to

        _comms[id(shell)] = Comms()


def unload(shell: Any) -> None:
    """Take the magics and hooks away, and close the files."""
    from llm_magic import attachment

    magics = _loaded.pop(id(shell), None)
    if magics is None:
        return
    comms = _comms.pop(id(shell), None)
    if comms is not None:
        comms.close()
    changes.close()
    attachment.detach_all()
    magics.runs.close()
    shell.input_transformer_manager.token_transformers.remove(QuestionMark)
    shell.Completer.custom_matchers.remove(magics.matches)
    for kind, names in magics.magics.items():
        for name in names:
            shell.magics_manager.magics[kind].pop(name, None)
    shell.magics_manager.registry.pop(type(magics).__name__, None)
    shell.configurables.remove(magics)
    chats.default().clear()
    templates.remember(None)
    client.close()
    history.close()
