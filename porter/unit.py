"""What a rule is given: one unit of source, the translation in hand, and the two things a rule can say."""

from __future__ import annotations

import ast
import re
from functools import cached_property
from typing import NamedTuple

from porter.findings import SAFE, UNSAFE, Edit, Finding
from porter.source import Source
from porter.targets import Translation

#: The library whose scripts get the guide's own spelling for memory queries.
LIBRARY = "diffsynth"


class Found(NamedTuple):
    """A finding and the edits that would make it right: those of a fix are made, those of a report only proposed."""

    finding: Finding
    edits: tuple[Edit, ...] = ()


class Unit:
    """One unit of source on its way from one accelerator to another.

    `classes` are those of the whole run that have methods of the accelerator's name of their own, `flags` those that
    ask for CUDA beside one for another accelerator (porter.definitions). `applies` says that what analyses propose is
    to be written.
    """

    def __init__(
        self,
        source: Source,
        translation: Translation,
        classes: frozenset[str] = frozenset(),
        flags: frozenset[str] = frozenset(),
        applies: bool = False,
    ) -> None:
        self.source = source
        self.translation = translation
        self.classes = classes
        self.flags = flags
        self.applies = applies
        #: The nodes that a report is about, and those that a fix is: what a later rule need not speak of.
        self.reported: set[ast.AST] = set()
        self.fixed: set[ast.AST] = set()
        #: The codes of rules that speak once a file, and have spoken.
        self.said_once: set[str] = set()
        self._may_rename: dict[tuple[str, str], bool] = {}

    def fix(self, code: str, node: ast.AST, message: str, *edits: Edit, doubt: str = "") -> Found:
        """The tool makes this right itself, by `edits`; `doubt` says why they may change what the program means."""
        self.fixed.add(node)
        finding = self._finding(code, "fix", node, message, doubt)
        return Found(finding._replace(applicability=UNSAFE if doubt else SAFE), edits)

    def propose(self, code: str, node: ast.AST, message: str, way_out: str, *edits: Edit) -> Found:
        """A note of what could be better, with the unsafe edits that would make it so."""
        found = self.report(code, "note", node, message, way_out)
        return Found(found.finding._replace(applicability=UNSAFE if edits else ""), edits)

    def report(self, code: str, severity: str, node: ast.AST, message: str, way_out: str = "") -> Found:
        """A person has to look: `severity` is "error" (fails there), "warning" (may) or "note" (differs)."""
        self.reported.add(node)
        return Found(self._finding(code, severity, node, message, way_out))

    def dotted(self, node: ast.AST) -> str | None:
        """The dotted name that a chain of attributes means; None where a parameter has the name of an import."""
        return self.source.dotted(node)

    @cached_property
    def uses_library(self) -> bool:
        return self.source.names.imports_package(LIBRARY)

    @cached_property
    def names_new_device(self) -> bool:
        """Whether the source names the new accelerator already: a device string, its module, its package."""
        if self.translation.rewrites_comparisons:
            return False
        new = self.translation.new
        words = {word.encode() for word in (new.name, *new.packages)}
        return any(self._names_target(node) for node in self.source.walk(self.source.lines_of(words)))

    def may_rename(self, old: str, new: str) -> bool:
        """Whether an imported name can be called `new` all over: nothing else in the unit is called either."""
        if (old, new) not in self._may_rename:
            nodes = self.source.walk(self.source.lines_of({old.encode(), new.encode()}))
            bindings = [name for node in nodes for name in _bound_by(node)]
            self._may_rename[old, new] = bindings.count(old) == 1 and new not in bindings
        return self._may_rename[old, new]

    def _names_target(self, node: ast.AST) -> bool:
        new = self.translation.new
        match node:
            case ast.Constant(value=str() as text):
                return re.fullmatch(rf"{new.name}(:\d*)?", text) is not None
            case ast.Attribute():
                return node.attr in (new.name, new.flag) or self.dotted(node) == f"torch.{new.name}"
            case ast.Import() | ast.ImportFrom():
                modules = {alias.name for alias in node.names} | {getattr(node, "module", "") or ""}
                return any(m.split(".")[0] in new.packages or m == f"torch.{new.name}" for m in modules)
            case _:
                return False

    def _finding(self, code: str, severity: str, node: ast.AST, message: str, way_out: str) -> Finding:
        start, end = self.source.span(node) if hasattr(node, "lineno") else (0, 0)
        line, column = self.source.place(start)
        end_line, end_column = self.source.place(end)
        return Finding(code, severity, message, line, column, end_line, end_column, way_out)


def _bound_by(node: ast.AST) -> list[str]:
    """The plain names that a node binds."""
    match node:
        case ast.Name(ctx=ast.Store() | ast.Del()):
            return [node.id]
        case ast.arg():
            return [node.arg]
        case ast.Import() | ast.ImportFrom():
            return [alias.asname or alias.name.split(".")[0] for alias in node.names]
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.ExceptHandler(name=str() as name) | ast.MatchAs(name=str() as name):
            return [name]
        case ast.Global() | ast.Nonlocal():
            return list(node.names)
        case _:
            return []
