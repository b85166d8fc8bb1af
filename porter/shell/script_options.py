"""Which options the parser of a Python script knows, read off its source: nothing is imported or run.

    parser = argparse.ArgumentParser(parents=[common_parser()])
    add_model_arguments(parser)                # from a module of the same tree: read too
    parser.add_argument("--initialize_model_on_cpu", action="store_true")

    parser = family_parser(FAMILY)             # FAMILY = Family(training="models.training.Training"): that class too

A helper that other scripts call and this one does not says nothing about this one.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache

from porter.shell.python_module import Found, PythonModule, module_at

#: Functions that build a parser are called so; others are given one, which is called so.
_BUILDS = re.compile(r"pars|args|argument|option|flag", re.IGNORECASE)
_IS_PARSER = re.compile(r"pars|group", re.IGNORECASE)

_OPTION = re.compile(r"--[\w-]+")
#: A class that a record names by its path, as what a training adds to the parser.
_ADAPTER = re.compile(r"(?:\w+\.)+\w*(?:Train|Pars|Arg|Option)\w*")
_SWITCHES = frozenset({"store_true", "store_const", "count", "BooleanOptionalAction"})


@dataclass
class Options:
    """`named` is every option that is written out, `valued` those of them that have to be given a value.

    `is_complete` is false where a part of the parser could not be read, so that there may be more.
    """

    named: set[str] = field(default_factory=set)
    valued: set[str] = field(default_factory=set)
    is_complete: bool = True


@cache
def options_of(script: str) -> Options:
    """The options of the script at this path."""
    reader = _Reader()
    module = module_at(os.path.abspath(script))
    if module is None:
        return Options(is_complete=False)
    reader.read(module.tree, module)
    return reader.options


class _Reader:
    """Goes from the script to the helpers that it calls, each definition once."""

    def __init__(self) -> None:
        self.options = Options()
        self._seen: set[ast.AST] = set()

    def read(self, top: ast.AST, module: PythonModule) -> None:
        for node in ast.walk(top):
            match node:
                case ast.Call(func=ast.Attribute(attr="add_argument")):
                    self._add(node)
                case ast.Call(args=[ast.Constant(), *_], keywords=[_, *_]) if _BUILDS.search(_dotted(node.func)):
                    self._add(node)  # of a table: Flag("--initialize_model_on_cpu", action="store_true")
                case ast.Call():
                    for name in _helpers(node):
                        self._follow(name, module)
                case ast.Constant(value=str() as text) if _OPTION.fullmatch(text):
                    self.options.named.add(text)
                case ast.Constant(value=str() as text) if _ADAPTER.fullmatch(text):
                    self._read_each(module.definitions_at(text))
                case ast.For(
                    iter=ast.Tuple(elts=several) | ast.List(elts=several)
                ):  # for add in (add_models, add_data)
                    for name in filter(None, map(_dotted, several)):
                        self._follow(name, module)
                case ast.Name(id=name) if isinstance(module.defined(name), ast.Assign | ast.AnnAssign):
                    self._follow(name, module)

    def _add(self, call: ast.Call) -> None:
        names = [text for one in call.args if (text := _text(one)) is not None]
        if not names:
            self.options.is_complete = False
        settings = {keyword.arg: keyword.value for keyword in call.keywords}
        action = settings.get("action")
        stands_alone = (_text(action) or _dotted(action).rpartition(".")[2]) in _SWITCHES
        if not stands_alone and _text(settings.get("nargs")) not in ("?", "*") and None not in settings:
            self.options.valued.update(names)

    def _follow(self, name: str, module: PythonModule) -> None:
        found = list(module.definitions_of(name))
        if not found and module.imports_from_elsewhere(name):
            self.options.is_complete = False
        self._read_each(found)

    def _read_each(self, found: Iterable[Found]) -> None:
        for definition, owner in found:
            if definition not in self._seen:
                self._seen.add(definition)
                self.read(definition, owner)


def _helpers(call: ast.Call) -> Iterator[str]:
    """The functions that may add options: they build a parser, are given one, or are given to one that does."""
    arguments = [_dotted(one) for one in (*call.args, *(keyword.value for keyword in call.keywords))]
    name = _dotted(call.func)
    if name and (_BUILDS.search(name.rpartition(".")[2]) or any(map(_IS_PARSER.search, arguments))):
        yield name
        yield from filter(None, arguments)


def _dotted(node: ast.AST | None) -> str:
    """`module.name`; empty for what is no chain of names."""
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            owner = _dotted(node.value)
            return f"{owner}.{node.attr}" if owner else ""
        case _:
            return ""


def _text(node: ast.AST | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
