"""Why a place in Python source that names CUDA is passed over."""

from __future__ import annotations

import ast
import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache

from porter.accounting.mentions import Place, Reason, is_named, is_named_as_a_word, lines_that_name, offsets
from porter.environment import OF_CUDA
from porter.guards import is_asked_for_in
from porter.places import device_is_meant, label_of, place_of
from porter.source import CannotParse, Source
from porter.tables import USUAL, read_table
from porter.vocabulary import PRINTING, is_backend, is_device, says_text

#: An example of documentation, whichever string holds it until it becomes one.
_DOCTEST = re.compile(r"^[ \t]*>>> ", re.MULTILINE)
_SENTENCE = re.compile(r"\S+(?:\s+\S+){2,}", re.DOTALL)
_COMMAND = re.compile(
    r"(?:^|\s)--?[A-Za-z]|(?:^|\s)\w+=\S|^\s*(?:python3?|bash|sh|torchrun|accelerate|nvidia-smi|nvcc)\b"
)
_PATH = re.compile(r"\S*[/\\]\S*|[\w{}.-]+\.\w{1,5}")
#: Names of functions and exceptions whose text people read: `ValueError`, `rank_zero_warn`, `logger_info_once`.
_PRINTS = re.compile(r"(?:Error|Exception|Warning|print|log|_(?:warn|warning|info|debug|error)(?:_once)?)$")
#: A regular expression, by what text has not; and one that a device is to match: `^(cpu|cuda(:\\d+)?)$`.
_PATTERN = re.compile(r"\\[dwsbS]|\(\?|[)\]][?*+]|\.[*+]|\A\^|\$\Z")
_DEVICE_IN_A_PATTERN = re.compile(r"(?<![\w./\\-])cuda(?![\w/.-]|\\\.)")
_WORD = re.compile(r"[\w.+:@=<>~!\[\]*-]+")
_NAME = re.compile(r"\w+")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_NAMES = (ast.Name, ast.Attribute, ast.arg, ast.keyword, ast.alias, ast.Global, ast.Nonlocal, ast.MatchAs)


def mentions(text: str) -> Iterator[tuple[Place, Reason | None]]:
    """Each mention in a file: where it is, and why it is passed over; a file that is no Python has no reasons."""
    try:
        return ((Place(0, line), reason) for line, reason in list(reasons(Source(text))))
    except (CannotParse, RecursionError):
        return ((Place(0, line), Reason.UNREADABLE) for line in lines_that_name(text.encode("utf-8")))


def reasons(source: Source) -> Iterator[tuple[int, Reason | None]]:
    """Each mention: its line, and why it is passed over; None where nothing says so."""
    places = list(offsets(source.data))
    comments = source.comments() if places else {}
    lines = sorted({source.place(at)[0] for at in places})
    nodes = _by_line(source, lines)
    for at in places:
        line, column = source.place(at)
        if line in comments and column >= comments[line][0]:
            yield line, Reason.COMMENT
        else:
            yield line, _reason(_innermost(nodes.get(line, ()), at), source)


def reason_of_string(node: ast.Constant, source: Source) -> Reason | None:
    """Why a string that names CUDA is passed over; None where it may mean CUDA itself, and a rule should know."""
    text, whole = str(node.value), _whole(node, source)
    if isinstance(source.parent.get(whole), ast.Expr) or _DOCTEST.search(text):
        return Reason.DOCSTRING
    if _is_read_by_people(whole, source):
        return Reason.MESSAGE
    if _PATTERN.search(text) and _DEVICE_IN_A_PATTERN.search(text):
        return None
    place = place_of(whole, source)
    if "/" in text and _PATH.fullmatch(text.strip()) and not is_named_as_a_word(re.sub(r"\S*/\S*", "", text)):
        return Reason.PATH
    if says_text(place.label) and place.kind not in ("key", "comparison") and not device_is_meant(place):
        return Reason.TEXT
    if not is_named_as_a_word(text) and (not _SENTENCE.search(text) or _COMMAND.search(text)):
        is_path = "/" in text and not _SENTENCE.search(text)
        return Reason.PATH if is_path else _unless_a_variable(text)
    return _reason_of_text(text, place.kind) or (None if device_is_meant(place) else _reason_of_data(text))


def _unless_a_variable(text: str) -> Reason | None:
    """A name that holds one of the names, such as `CMAKE_CUDA_FLAGS`; one that CUDA reads is for a rule to judge."""
    return None if _COMMAND.search(text) and not OF_CUDA.isdisjoint(_NAME.findall(text)) else Reason.NAME_IN_STRING


def _reason_of_text(text: str, kind: str) -> Reason | None:
    if _COMMAND.search(text):
        return None
    if _SENTENCE.search(text):
        return Reason.SENTENCE
    if _PATH.fullmatch(text.strip()) and not is_device(text):
        return Reason.PATH
    return Reason.DATA if kind in ("key", "entry") else None


def _reason_of_data(text: str) -> Reason | None:
    """What stands where no device is meant: a device's word is data there, and a longer word is a name."""
    if is_device(text) or is_backend(text):
        return Reason.DATA
    bare = text.strip().lower() in ("cuda", "nvidia", "nccl")
    return None if bare or not _WORD.fullmatch(text.strip()) else Reason.NAME_IN_STRING


def _reason(node: ast.AST | None, source: Source) -> Reason | None:
    match node:
        case ast.Constant(value=str()):
            return reason_of_string(node, source)
        case ast.Constant(value=bytes()):
            return Reason.DATA
        case ast.FormattedValue():
            return _reason(source.parent.get(node), source)
        case ast.JoinedStr(values=values):
            texts = [value for value in values if isinstance(value, ast.Constant)]
            found = [reason_of_string(text, source) for text in texts if is_named(str(text.value).encode())]
            return next(iter(found), Reason.NAME_IN_STRING)
        case ast.ImportFrom() if all(f"{node.module}.{alias.name}" in _of_torch() for alias in node.names):
            return Reason.OF_TORCH
        case ast.Import() | ast.ImportFrom():
            return None if _is_of_torch(getattr(node, "module", None)) else Reason.NAME
        case ast.alias():
            statement = source.parent.get(node)
            module = getattr(statement, "module", None) or node.name
            return None if _is_of_torch(module) and not getattr(statement, "level", 0) else Reason.NAME
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return Reason.NAME
        case ast.Name() if node.id != "cuda":  # its import is what names CUDA
            return Reason.NAME
        case ast.Attribute(attr="cuda" | "is_cuda") if _is_called(node, source):
            return None
        case _ if isinstance(node, _NAMES):
            dotted = source.dotted(node)
            if dotted is None or not _is_of_torch(dotted):
                return Reason.NAME
            if _whole_chain(node, source) in _of_torch():
                return Reason.OF_TORCH
            is_asked_for = is_asked_for_in(source, node, dotted.rpartition(".")[2])
            return Reason.ASKED_FOR if is_asked_for else None
        case _:
            return None


def _whole_chain(node: ast.AST, source: Source) -> str | None:
    while isinstance(parent := source.parent.get(node), ast.Attribute):
        node = parent
    return source.dotted(node)


@cache
def _of_torch() -> frozenset[str]:
    return frozenset(f"torch.cuda.{name}" for name in read_table(f"targets/{USUAL}.json")["unchanged"])


def _is_called(node: ast.AST, source: Source) -> bool:
    parent = source.parent.get(node)
    return isinstance(parent, ast.Call) and parent.func is node and source.dotted(node) is None


def _is_of_torch(dotted: str | None) -> bool:
    return dotted is not None and dotted.partition(".")[0] == "torch" and "cuda" in dotted.lower()


def _whole(node: ast.AST, source: Source) -> ast.AST:
    """The f-string, sum or call of `.format` that a piece of text is part of."""
    child = node
    for parent in source.ancestors(node):
        match parent:
            case ast.JoinedStr() | ast.FormattedValue():
                pass
            case ast.BinOp(op=ast.Add() | ast.Mod()):
                pass
            case ast.Attribute(attr="format" | "strip" | "join" | "replace" | "lower" | "upper"):
                pass
            case ast.Call(func=ast.Attribute(attr="format" | "strip" | "join" | "replace" | "lower" | "upper")):
                if child is not parent.func:
                    return child
            case _:
                return child
        child = parent
    return child


def _is_read_by_people(whole: ast.AST, source: Source) -> bool:
    child = whole
    for parent in source.ancestors(whole):
        match parent:
            case ast.Call() if child is not parent.func:
                name = label_of(parent.func)
                return name in PRINTING or _PRINTS.search(name) is not None
            case ast.keyword(arg="help" | "description" | "epilog" | "message" | "msg" | "reason" | "doc"):
                return True
            case ast.Assert():
                return child is parent.msg
            case ast.Raise():
                return True
            case ast.IfExp() | ast.BoolOp() | ast.Tuple() | ast.List() | ast.keyword() | ast.JoinedStr() | ast.BinOp():
                pass
            case _:
                return False
        child = parent
    return False


def _by_line(source: Source, lines: list[int]) -> dict[int, list[tuple[int, int, ast.AST]]]:
    """The nodes that touch each line, with their spans."""
    wanted = set(lines)
    found: dict[int, list[tuple[int, int, ast.AST]]] = {}
    for node in source.walk(lines):
        if not hasattr(node, "lineno"):
            continue
        start, end = source.span(node)
        first, last = (bisect_right(source.line_starts, at) for at in (start, end))
        for line in range(first, last + 1) if last - first < 2 * len(lines) else sorted(wanted):
            if line in wanted and first <= line <= last:
                found.setdefault(line, []).append((start, end, node))
    return found


def _innermost(nodes: list[tuple[int, int, ast.AST]] | tuple[()], at: int) -> ast.AST | None:
    around = [(end - start, index, node) for index, (start, end, node) in enumerate(nodes) if start <= at < end]
    return min(around, key=lambda one: (one[0], -one[1]))[2] if around else None
