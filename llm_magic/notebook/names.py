"""What is known of a notebook's variables without running a cell.

A name is known that was last bound to a literal, or to a recorded answer. Everything else needs the
cell that binds it. In doubt a name is unknown: a list that a cell may have changed, all names after
``exec``. The same walk tells which names ask a model: what is imported for it, and what is made of
that.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from llm_magic.exceptions import LLMMagicError
from llm_magic.notebook.display import AnswerText
from llm_magic.templates import expressions

__all__ = ["Names", "UnknownError"]

# Functions of llm_magic that ask a model, and modules of it in which everything does.
_ASKING = {"Client", "acomplete", "astream", "complete", "stream"}
_ASKING_MODULES = {"client", "compat"}
# What of a client asks nothing.
_QUIET = {"close", "history", "preview", "settings"}
# Other libraries that do.
_LIBRARIES = {
    "anthropic",
    "autogen",
    "cohere",
    "dspy",
    "groq",
    "hopenai",
    "instructor",
    "langchain",
    "langchain_anthropic",
    "langchain_openai",
    "litellm",
    "llama_index",
    "mistralai",
    "ollama",
    "onellm",
    "openai",
    "opentracy",
    "pydantic_ai",
}
# Whatever follows these may have any value.
_ANYTHING = {"exec", "globals", "locals", "vars"}
# They look at a list and do not change it.
_LOOKING = {"display", "enumerate", "len", "list", "max", "min", "print", "range", "repr", "set"}
_LOOKING |= {"sorted", "str", "sum", "tuple", "type", "zip"}

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_COMPOUND = (
    ast.AsyncFor,
    ast.AsyncWith,
    ast.For,
    ast.If,
    ast.Match,
    ast.Try,
    ast.TryStar,
    ast.While,
    ast.With,
)
_NAMING = (ast.Assign, ast.AnnAssign, ast.With, ast.AsyncWith, ast.For, ast.AsyncFor)


class UnknownError(LLMMagicError):
    """What cannot be known without running a cell; the message says which, or what else."""


class Names:
    """The variables of a notebook, as far as they are known after the cells so far.

    Parameters
    ----------
    kernel : mapping, optional
        Variables of a running kernel; their plain values stand in for what is not known otherwise.

    Attributes
    ----------
    from_kernel : set of str
        Names whose value came from there.
    """

    def __init__(self, kernel: Mapping[str, Any] | None = None) -> None:
        self._kernel = kernel or {}
        self.from_kernel: set[str] = set()
        self._values: dict[str, Any] = {}
        # The cell that tells the value; for the second ones because it gets a new answer.
        self._cells: dict[str, int] = {}
        self._answers: set[str] = set()
        self._everything_needs: int | None = None
        # Names that functions bind from inside, whenever they are called.
        self._global: set[str] = set()
        self._askers: set[str] = set()
        self._packages: set[str] = set()

    def bind(self, name: str, value: Any, cell: int) -> None:
        """A cell gives a name this value."""
        self.lose(name, cell)
        if name not in self._global:
            self._values[name] = value

    def lose(self, name: str, cell: int, *, answered: bool = False) -> None:
        """A cell gives a name a value that only running it tells.

        Parameters
        ----------
        answered : bool
            It is an answer that is not recorded, so that a kernel has only an older one.
        """
        self._values.pop(name, None)
        self._askers.discard(name)
        self._packages.discard(name)
        self._answers.discard(name)
        self._cells[name] = cell
        if answered:
            self._answers.add(name)

    def lose_all(self, cell: int) -> None:
        """A cell may have given any name any value."""
        for name in [*self._values]:
            self.lose(name, cell)
        self._everything_needs = cell

    def value(self, name: str) -> Any:
        """The value of a name.

        Raises
        ------
        UnknownError
            When it is not known.
        """
        if name in self._values:
            return self._values[name]
        if name in self._kernel and name not in self._answers and _is_plain(self._kernel[name]):
            self.from_kernel.add(name)
            return self._kernel[name]
        cell = self._cells.get(name, self._everything_needs)
        raise UnknownError(f"needs {name if cell is None else f'cell {cell}'}")

    def is_bound(self, name: str) -> bool:
        """Whether there is such a variable, as far as can be known."""
        return name in self._cells or name in self._kernel

    def for_prompt(self, text: str) -> dict[str, Any]:
        """The values that the ``{{ expressions }}`` of a prompt see.

        Raises
        ------
        UnknownError
            When one of them is not known, or is more than reading values.
        """
        found: dict[str, Any] = {}
        for tree in expressions(text):
            for name in _free_names(tree):
                if name in _SAFE_FUNCTIONS and not self.is_bound(name):
                    continue
                found[name] = self.value(name)
            if not _is_quick(tree, found) or not _only_reads(tree):
                source = " ".join(ast.unparse(tree).split())
                short = source if len(source) <= 40 else source[:39] + "…"
                raise UnknownError(f"{{{{ {short} }}}} runs code")
        return found

    # Statements

    def statement(self, node: ast.stmt, cell: int, *, answered: bool = False) -> bool:
        """Go on past a statement; returns whether it asks a model.

        Parameters
        ----------
        answered : bool
            It is known already that it does.
        """
        if isinstance(node, _COMPOUND):
            # What is named in a block is used there, before the block has ended.
            self._look_ahead(node, cell)
        asks = answered or (not isinstance(node, _DEFINITIONS) and self._asks(node))
        # What is made of an answer is as new as that.
        renewed = asks or any(one.id in self._answers for one in _names_in(node))
        mentions = self._mentions(node)
        if any(one.id in _ANYTHING for one in _names_in(node)):
            self.lose_all(cell)
        for name in [*self._changed(node)]:
            self.lose(name, cell, answered=renewed)
        literal = _literal(node)
        for name in _bound(node):
            self.lose(name, cell, answered=renewed)
            if literal is not None:
                self.bind(name, literal[0], cell)
            elif mentions and not asks and isinstance(node, _NAMING):
                # Another name for what asks, or something that is made of it.
                self._askers.add(name)
        for inner in ast.walk(node):
            if isinstance(inner, (ast.Import, ast.ImportFrom)):
                self._import(inner, cell)
            elif isinstance(inner, ast.Global):
                self._global.update(inner.names)
                for name in inner.names:
                    self.lose(name, cell)
            elif isinstance(inner, _DEFINITIONS) and self._mentions(inner):
                self._askers.add(inner.name)
        return asks

    def _look_ahead(self, node: ast.stmt, cell: int) -> None:
        for inner in ast.walk(node):
            if isinstance(inner, (ast.Import, ast.ImportFrom)):
                self._import(inner, cell)
            elif isinstance(inner, ast.Assign):
                self._name(inner.targets, inner.value)
            elif isinstance(inner, (ast.For, ast.AsyncFor)):
                self._name([inner.target], inner.iter)
            elif isinstance(inner, ast.withitem) and inner.optional_vars is not None:
                self._name([inner.optional_vars], inner.context_expr)

    def _name(self, targets: list[ast.expr], value: ast.expr) -> None:
        if self._mentions(value) and not self._asks(value):
            self._askers.update(*map(_bound, targets))

    def _import(self, node: ast.Import | ast.ImportFrom, cell: int) -> None:
        module = getattr(node, "module", None) or ""
        for alias in node.names:
            if alias.name == "*" and module.split(".")[0] != "llm_magic":
                self.lose_all(cell)
            path = f"{module}.{alias.name}".strip(".").split(".")
            name = alias.asname or (path[0] if isinstance(node, ast.Import) else alias.name)
            if path == ["llm_magic", "*"]:
                self._askers |= _ASKING
            elif name == "llm_magic" or path == ["llm_magic"]:
                self._packages.add(name)
            elif path[0] in _LIBRARIES or (path[0] == "llm_magic" and self._is_asking(path[1:])):
                self._askers.add(name)

    def _is_asking(self, path: list[str]) -> bool:
        return bool(path) and (path[0] in _ASKING_MODULES or path[-1] in _ASKING)

    def _asks(self, node: ast.AST) -> bool:
        for inner in _executed(node):
            if not isinstance(inner, ast.Call):
                continue
            given = [word.value for word in inner.keywords]
            if not _only_looks(inner):
                given += inner.args
            if self._mentions(inner.func):
                asks = not _makes_object(inner.func)
            else:
                asks = any(map(self._mentions, given)) and not _keeps(inner.func)
            if asks:
                return True
        return False

    def _mentions(self, node: ast.AST) -> bool:
        path: list[str] = []
        inner = node
        while isinstance(inner, ast.Attribute):
            path.insert(0, inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            if not isinstance(inner.ctx, ast.Load):
                return False
            if inner.id in self._packages:
                return self._is_asking(path)
            return inner.id in self._askers and not _QUIET.intersection(path)
        return any(map(self._mentions, ast.iter_child_nodes(node)))

    def _changed(self, node: ast.stmt) -> Iterator[str]:
        """Known names whose value the statement may change: lists and the like that it touches."""
        looked_at = {id(one) for one in _looked_at(node)}
        items_looked_at = {id(one) for one in _items_looked_at(node)}
        for name in _names_in(node):
            value = self._values.get(name.id)
            if not isinstance(value, (list, dict, set, tuple)) or id(name) in looked_at:
                continue
            flat = all(isinstance(item, (str, int, float)) for item in value)
            if isinstance(value, dict) or not flat or id(name) not in items_looked_at:
                yield name.id


def _only_looks(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id in _LOOKING


def _looked_at(node: ast.AST) -> Iterator[ast.AST]:
    """What a statement looks at as a whole, and keeps no hold of."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call) and _only_looks(inner):
            yield from inner.args
        elif isinstance(inner, ast.FormattedValue):
            yield inner.value


def _items_looked_at(node: ast.AST) -> Iterator[ast.AST]:
    """What a statement takes items of."""
    for inner in ast.walk(node):
        if isinstance(inner, (ast.For, ast.AsyncFor, ast.comprehension)):
            yield inner.iter
        elif isinstance(inner, ast.Subscript) and isinstance(inner.ctx, ast.Load):
            yield inner.value


def _names_in(node: ast.AST) -> Iterator[ast.Name]:
    return (one for one in ast.walk(node) if isinstance(one, ast.Name))


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when a statement runs: not the bodies of the functions that it makes."""
    if isinstance(node, (*_DEFINITIONS, ast.Lambda)):
        return
    yield node
    for inner in ast.iter_child_nodes(node):
        yield from _executed(inner)


def _makes_object(function: ast.expr) -> bool:
    """Whether a call of it makes a client, by the spelling of classes, and asks nothing yet."""
    name = str(getattr(function, "attr", getattr(function, "id", "")))
    return name[:1].isupper()


def _keeps(function: ast.expr) -> bool:
    """Whether a call of it makes an object that keeps what it gets: ``Agent``, ``Chain.of``."""
    maker = function.value if isinstance(function, ast.Attribute) else function
    return _makes_object(function) or (isinstance(maker, ast.Name) and _makes_object(maker))


def _literal(node: ast.stmt) -> tuple[Any] | None:
    """The value that a statement gives to each of its names, if it is written there."""
    if isinstance(node, ast.Assign):
        targets: Iterable[ast.expr] = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    else:
        return None
    if node.value is None or not all(isinstance(target, ast.Name) for target in targets):
        return None
    try:
        return (ast.literal_eval(node.value),)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


def _bound(node: ast.AST) -> set[str]:
    """Variables of the notebook that a statement binds or deletes."""
    found: set[str] = set()
    if isinstance(node, _DEFINITIONS):
        return {node.name}
    if isinstance(node, ast.Lambda):
        return found
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        found.add(node.id)
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        found |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
    elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
        found.add(node.name)
    elif isinstance(node, ast.MatchMapping) and node.rest:
        found.add(node.rest)
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.comprehension):
            # Its target lives only inside of it.
            found |= _bound(inner.iter).union(*map(_bound, inner.ifs))
        else:
            found |= _bound(inner)
    return found


# Expressions that are evaluated without running anybody's code

_SAFE_FUNCTIONS = {"float", "int", "len", "max", "min", "repr", "round", "sorted", "str", "sum"}
_SAFE_METHODS = {"capitalize", "count", "get", "items", "join", "keys", "lower", "lstrip"}
_SAFE_METHODS |= {"removeprefix", "removesuffix", "rstrip", "split", "splitlines", "strip"}
_SAFE_METHODS |= {"title", "upper", "values"}
_SAFE_NODES = (
    ast.Expression,
    ast.Constant,
    ast.Name,
    ast.Subscript,
    ast.Slice,
    ast.Tuple,
    ast.List,
    ast.Dict,
    ast.IfExp,
    ast.Compare,
    ast.BoolOp,
    ast.UnaryOp,
    ast.GeneratorExp,
    ast.ListComp,
    ast.comprehension,
    ast.JoinedStr,
    ast.expr_context,
    ast.cmpop,
    ast.boolop,
    ast.unaryop,
    ast.operator,
    ast.keyword,
)


# A notebook may come from anywhere; no prompt that a person writes comes near these.
_MOST_NODES, _MOST_WALKED = 200, 10_000


def _is_quick(tree: ast.AST, values: Mapping[str, Any]) -> bool:
    """Whether an expression that only reads is evaluated in no time."""
    nodes = [*ast.walk(tree)]
    loops = sum(isinstance(node, ast.comprehension) for node in nodes)
    small = not loops or sum(len(repr(value)) for value in values.values()) <= _MOST_WALKED
    return len(nodes) <= _MOST_NODES and loops <= 1 and small


def _only_reads(tree: ast.AST) -> bool:
    """Whether an expression of plain values runs nobody's code, and changes nothing."""
    if isinstance(tree, ast.Call):
        function = tree.func
        if isinstance(function, ast.Attribute):
            safe = function.attr in _SAFE_METHODS and _only_reads(function.value)
            # A long text between all characters of a long text is a very long text.
            safe &= function.attr != "join" or isinstance(function.value, ast.Constant)
        else:
            safe = isinstance(function, ast.Name) and function.id in _SAFE_FUNCTIONS
        given = [*tree.args, *(word.value for word in tree.keywords)]
        return safe and all(map(_only_reads, given))
    if isinstance(tree, ast.BinOp):
        # "x" * 10**12 would never end.
        return isinstance(tree.op, (ast.Add, ast.Sub)) and _parts_only_read(tree)
    if isinstance(tree, ast.FormattedValue):
        # A format may ask for a width of a billion characters.
        return tree.format_spec is None and _only_reads(tree.value)
    return isinstance(tree, _SAFE_NODES) and _parts_only_read(tree)


def _parts_only_read(tree: ast.AST) -> bool:
    return all(map(_only_reads, ast.iter_child_nodes(tree)))


def _free_names(tree: ast.AST) -> set[str]:
    """The variables that an expression reads."""
    own = {one.id for one in _names_in(tree) if not isinstance(one.ctx, ast.Load)}
    own |= {one.arg for one in ast.walk(tree) if isinstance(one, ast.arg)}
    return {one.id for one in _names_in(tree)} - own


_PLAIN = (str, int, float, bool, type(None), AnswerText)


def _is_plain(value: Any, deep: int = 10) -> bool:
    """Whether a value is text, a number, or lists and dicts of them: looking at it runs no code."""
    kind = type(value)
    if kind in _PLAIN:
        return True
    if deep and kind in (list, tuple, set):
        return all(_is_plain(item, deep - 1) for item in value)
    return bool(deep) and kind is dict and all(_is_plain(one, deep - 1) for one in value.items())
