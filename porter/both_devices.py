"""Places that serve CUDA and the new accelerator both: what their author has written for CUDA stays there.

device = "npu" if is_npu_available() else "cuda"          if device == "cuda": ... elif device == "npu": ...
IS_CUDA = torch.cuda.is_available()                       class Device(Enum):
IS_NPU = torch.npu.is_available()                             CUDA = "cuda"
{"cuda": "nccl", "npu": "hccl"}                               NPU = "npu"

try: import torch_npu                                     from torch import cuda, npu
except ImportError: device = "cuda"                       match device: case "cuda": ... case "npu": ...

What tells is that one statement, table or pair of names speaks of both. A file in which nearly all that names CUDA
stands in such places is left alone.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import cache

from porter.findings import SUPPORTS_BOTH, Finding
from porter.made_for_cuda import package_of, packages
from porter.unit import Found, Unit

#: The code of the rule about comparisons with a device.
COMPARES = "DP102"

#: So many places have to serve both for each that names CUDA alone, for a file to be left alone.
_FOR_EACH_OTHER = 3

#: What says of a branch that the new accelerator cannot run it.
_LACKING = ("DP201", "DP203", "DP204")

_PIECE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

Span = tuple[int, int]
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
_OLD, _NEW = "old", "new"


def sifted(found: list[Found], unit: Unit, codes: frozenset[str] | None) -> list[Found]:
    """What rules have found, less what serves both accelerators, with a finding that says so."""
    if unit.translation.undoes:
        return found
    if COMPARES in {one.finding.code for one in found}:
        found = [_left_to_cuda(one, unit) if _guards_what_is_lacking(one, found, unit) else one for one in found]
    if (
        unit.translation.rewrites_comparisons
        or (codes is not None and SUPPORTS_BOTH not in codes)
        or not (unit.translation.names_new(unit.source.data) or _flags_of_cuda(unit))
        or not found
    ):
        return found
    marks = sorted(at for one in found for at in _places_of(one, unit))
    places = _Places(marks, unit) if marks else None
    if places is None or not places.serve_both:
        return found
    spans = [unit.source.span(node) for node in (*places.serve_both, *places.for_cuda)]
    others = [one for one in found if not _is_within(one, spans, unit)]
    alone = sorted({one.finding.line for one in others if one.finding.is_fix})
    if alone and len(alone) * _FOR_EACH_OTHER <= len(places.serve_both):
        others = [one for one in others if not one.finding.is_fix] + [_named_alone(alone, unit)]
    return [*others, _supports(places.serve_both, unit)]


def _supports(serve_both: list[ast.AST], unit: Unit) -> Found:
    count = len(serve_both)
    message = f"supports {unit.translation.new.name} already: {count} {'place' if count == 1 else 'places'}"
    return unit.report(SUPPORTS_BOTH, "note", serve_both[0], message)


def _named_alone(lines: list[int], unit: Unit) -> Found:
    named = ", ".join(map(str, lines[:8])) + (" ..." if len(lines) > 8 else "")
    message = f"the file was left as it is, and names CUDA alone on line {named}"
    finding = Finding(SUPPORTS_BOTH, "warning", message, lines[0], 1, lines[0], 1, "port these by hand")
    return Found(finding)


def _is_within(one: Found, spans: Iterable[Span], unit: Unit) -> bool:
    places = [edit.start for edit in one.edits if edit.start < edit.end] or [_offset(one.finding, unit)]
    return all(any(start <= place < end for start, end in spans) for place in places)


class _Places:
    """`serve_both` are nodes that speak of both accelerators, `for_cuda` what is done for CUDA beside them.

    Of CUDA speaks what the rules would rename, at `marks`: names that a port leaves behind do not make its own result
    serve both.
    """

    def __init__(self, marks: list[int], unit: Unit) -> None:
        self._unit = unit
        self._marks = marks
        self._of = _words_of(unit)
        self._words: dict[ast.AST, frozenset[str]] = {}
        self._flags = _flags_of_cuda(unit)
        parents = unit.source.parent
        nodes = unit.source.naming(self._named(), marks)
        for node in reversed(nodes):  # children come before their parents
            words = self._words.get(node, frozenset()) | self._of.sides(node)
            self._words[node] = words
            if words and node in parents:
                self._words[parents[node]] = self._words.get(parents[node], frozenset()) | words
        self.serve_both: list[ast.AST] = []
        for node in nodes:
            self._look_at(node)
        self.serve_both.sort(key=unit.source.span)
        asked = (node for node in nodes if isinstance(node, ast.If) and self._says(node.test) == {_OLD})
        self.for_cuda: list[ast.AST] = list(asked) if self.serve_both else []

    def _look_at(self, node: ast.AST) -> None:
        match node:
            case ast.IfExp() if self._is_for_cuda(node) and self._is_for_new(node):
                self.serve_both.append(node)
            case ast.Dict() if self._have_both([*node.keys, *node.values]):
                self.serve_both.append(node)
            case ast.BoolOp(op=ast.Or()) if self._have_both(node.values):
                self.serve_both.append(node)
            case ast.Call(func=ast.Attribute(attr="get" | "getenv")) if self._have_both(node.args):
                self.serve_both.append(node)
            case ast.ImportFrom() if self._is_for_cuda(node) and self._have_names_of_both(node.names):
                self.serve_both.append(node)
            case ast.Match() if self._has_a_case_for_each(node.cases):
                self.serve_both.append(node)
            case ast.Try() if self._is_tried_for_one(node):
                self.serve_both.append(node)
            case ast.List() | ast.Tuple() | ast.Set():  # strings are choices, of which DP101 speaks
                if self._have_both(one for one in node.elts if not isinstance(one, ast.Constant)):
                    self.serve_both.append(node)
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                self._block(node.body)
            case ast.If() | ast.IfExp() if self._is_for_cuda(node) and self._asks_by_a_flag(node.test):
                self.serve_both.append(node)
            case ast.If() if not self._is_elif(node) and self._is_for_cuda(node):
                if any(self._is_for_new(one.test) for one in _branches(node)):
                    self.serve_both.append(node)

    def _block(self, body: list[ast.stmt]) -> None:
        """Statements one after the other that go together: flags, constants, definitions, an early return."""
        sides = [self._binds(statement) for statement in body]
        if _OLD in sides and _NEW in sides:
            self.serve_both += [statement for statement, side in zip(body, sides, strict=True) if side == _OLD]
        for at, statement in enumerate(body):
            if isinstance(statement, ast.If) and _leaves(statement):
                rest, asks = body[at + 1 :], self._says(statement.test)
                if asks == {_NEW}:
                    self.serve_both += [one for one in rest if self._is_for_cuda(one)]
                elif asks == {_OLD} and self._is_for_cuda(statement) and any(map(self._asks_for_new, rest)):
                    self.serve_both.append(statement)

    def _binds(self, statement: ast.stmt) -> str | None:
        """Of which accelerator a statement alone speaks, by the name it binds and what it gives it."""
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                pass
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                pass
            case _:
                return None
        named = self._of.sides_of(name)
        if named == {_OLD}:
            return _OLD if self._is_for_cuda(statement) and not self._is_for_new(statement) else None
        return _NEW if named == {_NEW} and self._says(statement) == {_NEW} else None

    def _have_both(self, parts: Iterable[ast.AST | None]) -> bool:
        """Whether one part names CUDA alone, and another one the new accelerator alone."""
        named = [(self._is_for_cuda(part), self._is_for_new(part)) for part in parts if part is not None]
        return (True, False) in named and (False, True) in named

    def _have_names_of_both(self, names: list[ast.alias]) -> bool:
        """`from torch import cuda, npu`"""
        said = [self._says(name) for name in names]
        return {_OLD} in said and {_NEW} in said

    def _has_a_case_for_each(self, cases: list[ast.match_case]) -> bool:
        for_new = [case for case in cases if self._is_for_new(case.pattern)]
        others = (part for case in cases if case not in for_new for part in (case.pattern, *case.body))
        return bool(for_new) and any(map(self._is_for_cuda, others))

    def _is_tried_for_one(self, node: ast.Try) -> bool:
        """Whether one accelerator is tried, and the other is for where that fails: `try: import torch_npu`."""
        tried_for_cuda = any(map(self._is_for_cuda, node.body))
        if any(map(self._is_for_new, node.body)) and not tried_for_cuda:
            return any(map(self._is_for_cuda, node.handlers))
        return tried_for_cuda and any(map(self._is_for_new, node.handlers))

    def _named(self) -> set[bytes]:
        """The words of either accelerator: what serves both holds some of them."""
        new, old = self._unit.translation.new, self._unit.translation.old
        return {word.encode() for word in (*new.words, *self._unit.translation.environment.values(), *old.words)}

    def _says(self, node: ast.AST) -> frozenset[str]:
        return self._words.get(node, frozenset())

    def _is_for_cuda(self, node: ast.AST) -> bool:
        start, end = self._unit.source.span(node)
        at = bisect_left(self._marks, start)
        return at < len(self._marks) and self._marks[at] < end

    def _is_for_new(self, node: ast.AST) -> bool:
        return _NEW in self._says(node)

    def _asks_for_new(self, node: ast.AST) -> bool:
        return isinstance(node, ast.If) and self._is_for_new(node.test)

    def _asks_by_a_flag(self, test: ast.expr) -> bool:
        """Whether a flag for CUDA is asked that the program has one for the new accelerator beside, in another file."""
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
            return any(map(self._asks_by_a_flag, test.values))
        asked = test.func if isinstance(test, ast.Call) and not test.args else test
        return self._unit.dotted(asked) in self._flags

    def _is_elif(self, node: ast.If) -> bool:
        parent = self._unit.source.parent.get(node)
        return isinstance(parent, ast.If) and parent.orelse == [node]


def _flags_of_cuda(unit: Unit) -> frozenset[str]:
    """What a file imports of the program's flags for CUDA that have one for the new accelerator beside them."""
    flags = {flag.partition(":")[2] for flag in unit.flags if flag.startswith(f"{unit.translation.new.name}:")}
    imported = unit.source.names.bound.values() if flags else ()
    return frozenset(name for name in imported if name.rpartition(".")[2] in flags and not name.startswith("torch."))


def _places_of(one: Found, unit: Unit) -> list[int]:
    """Where a rule would rename something, or has left a comparison because the file names the new accelerator."""
    if one.finding.code == COMPARES and not one.finding.is_fix and "already names" in one.finding.message:
        return [_offset(one.finding, unit)]
    if not one.finding.is_fix:
        return []
    return [edit.start for edit in one.edits if edit.start < edit.end]


def _offset(finding: Finding, unit: Unit) -> int:
    before = unit.source.line_text(finding.line)[: finding.column - 1]
    return unit.source.line_starts[finding.line - 1] + len(before.encode())


class _Words:
    """The words by which names and texts speak of one accelerator or the other."""

    def __init__(self, old: frozenset[str], new: frozenset[str], pairs: dict[str, str]) -> None:
        self._by_word = dict.fromkeys(old, _OLD) | dict.fromkeys(new, _NEW)
        self._variables = dict.fromkeys(pairs, _OLD) | dict.fromkeys(pairs.values(), _NEW)

    def sides(self, node: ast.AST) -> frozenset[str]:
        match node:
            case ast.Constant(value=str() as text) if len(text) < 80 and " " not in text.strip():
                return self.sides_of(text)
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.keyword(arg=str() as name) | ast.alias(name=name):
                return self.sides_of(name)
            case _:
                return frozenset()

    def sides_of(self, name: str) -> frozenset[str]:
        if name in self._variables:
            return frozenset({self._variables[name]})
        pieces = {piece.lower() for piece in _PIECE.findall(name)}
        return frozenset(self._by_word[piece] for piece in pieces & self._by_word.keys())


@cache
def _words_by(
    old_name: str, old_backend: str, new_name: str, new_backend: str, pairs: tuple[tuple[str, str], ...]
) -> _Words:
    old, new = (frozenset(filter(None, pair)) for pair in ((old_name, old_backend), (new_name, new_backend)))
    return _Words(old, new, dict(pairs))


def _words_of(unit: Unit) -> _Words:
    old, new = unit.translation.old, unit.translation.new
    pairs = tuple(unit.translation.environment.items())
    return _words_by(old.name, old.backend or "", new.name, new.backend or "", pairs)


def _branches(node: ast.If) -> Iterator[ast.If]:
    yield node
    while len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
        node = node.orelse[0]
        yield node


def _leaves(node: ast.If) -> bool:
    return isinstance(node.body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break)


# a comparison that keeps another device away from what only CUDA has


def _guards_what_is_lacking(one: Found, found: list[Found], unit: Unit) -> bool:
    """Whether the branch that a comparison gives to CUDA calls what the new accelerator lacks."""
    if one.finding.code != COMPARES or ("is compared with" not in one.finding.message and not one.finding.is_fix):
        return False
    span = _branch_of_cuda(one.finding, unit)
    if span is None:
        return False
    lacking = (other for other in found if other.finding.code in _LACKING and other.finding.severity == "error")
    return any(_is_within(other, [span], unit) for other in lacking) or _calls_what_is_made_for_cuda(span, unit)


#: What names of functions and modules have in them that hold kernels: `fused_cuda_ext`, `mylib._C`, `moe_kernels`.
_OF_KERNELS = frozenset({"cuda", "cutlass", "cublas", "cudnn", "kernel", "kernels", "c", "ext"})

#: Operators that torch, or the accelerator's own package, registers.
_OF_TORCH = frozenset({"aten", "prim", "prims", "torchvision", "torchaudio", "c10d", "_c10d_functional", "profiler"})

#: Private functions of torch that are kernels, rather than checks and loops over tensors.
_KERNEL_OF_TORCH = re.compile(
    r"torch\._(?!foreach|assert|check|C\b)\w*(?:_mm|_mm_v2|int4pack\w*|flash\w*|efficient\w*)"
)


def _calls_what_is_made_for_cuda(span: Span, unit: Unit) -> bool:
    """Whether something in it calls a package made for CUDA, or by its name a kernel, wherever that was imported."""
    first, last = (unit.source.place(at)[0] for at in span)
    calls = (node for node in unit.source.walk(list(range(first, last + 1))) if isinstance(node, ast.Call))
    named = ((node, unit.dotted(node.func) or "") for node in calls)
    # where it stands is asked last: within an f-string it takes libcst
    return any(
        _is_made_for_cuda(name, unit) and span[0] <= unit.source.span(node)[0] < span[1] for node, name in named if name
    )


def _is_made_for_cuda(name: str, unit: Unit) -> bool:
    new, parts = unit.translation.new, name.split(".")
    if package := package_of(name):
        return not packages()[package].only_aarch64 and new.name not in packages()[package].exists_on
    if name.startswith("torch.ops."):
        return len(parts) > 3 and parts[2] not in (*_OF_TORCH, new.name)
    if parts[0] == "torch":
        return _KERNEL_OF_TORCH.fullmatch(name) is not None and unit.translation.known_part(name[6:]) is None
    pieces = {piece for part in parts for piece in re.split(r"[_\d]+", part.lower())}
    return bool(pieces & _OF_KERNELS)


def _branch_of_cuda(finding: Finding, unit: Unit) -> Span | None:
    """The statements that run where the device is CUDA's: behind `== "cuda":`, or past `!= "cuda": return`."""
    for node in unit.source.parent:
        if not isinstance(node, ast.If) or not isinstance(node.test, ast.Compare) or len(node.test.ops) != 1:
            continue
        if not node.test.lineno <= finding.line <= finding.end_line <= (node.test.end_lineno or 0):
            continue
        if isinstance(node.test.ops[0], ast.Eq):
            return _span_of(node.body, unit)
        if isinstance(node.test.ops[0], ast.NotEq):
            return _span_of(node.orelse or (_behind(node, unit) if _leaves(node) else []), unit)
    return None


def _behind(node: ast.stmt, unit: Unit) -> list[ast.stmt]:
    around = unit.source.parent.get(node)
    for name in ("body", "orelse", "finalbody"):
        block = getattr(around, name, None)
        if isinstance(block, list) and node in block:
            return block[block.index(node) + 1 :]
    return []


def _span_of(statements: list[ast.stmt], unit: Unit) -> Span | None:
    if not statements:
        return None
    return unit.source.span(statements[0])[0], unit.source.span(statements[-1])[1]


def _left_to_cuda(one: Found, unit: Unit) -> Found:
    title = unit.translation.new.title
    message = f"the branch for CUDA calls what {title} lacks; the comparison was left as it is"
    way_out = f"see that {unit.translation.new.name} takes the other branch"
    return Found(one.finding._replace(severity="note", message=message, way_out=way_out, applicability=""))
