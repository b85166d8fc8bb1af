"""A project's own rules as rules: found by what names mean, through every form of import."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache, partial

from porter.analysis.affinity.fusing import import_of
from porter.analysis.custom.rule_settings import CustomRule
from porter.findings import Edit
from porter.places import label_of
from porter.rules.rule import Rule
from porter.unit import Found, Unit


@cache
def rule_of(custom: CustomRule) -> Rule:
    """The rule that a project describes."""
    fixes = custom.kind.startswith("rename")
    first = (custom.of or custom.what).partition(".")[0]
    words = ("import",) if custom.kind == "report-pattern" or "*" in first else (first,)
    page = _page(custom)
    rule = Rule(custom.code, custom.code.lower(), page, words=words, fixes=fixes, analysis="custom")
    rule.on(ast.Module)(partial(_checked, custom))
    return rule


def _page(custom: CustomRule) -> str:
    """What there is to say of it, in the form of the tool's own pages."""
    of = f"\nof = {json.dumps(custom.of)}" if custom.of else ""
    to = f"\nto = {json.dumps(custom.to)}" if custom.to else ""
    does = "Renames, wherever an import leads to it:" if custom.to else f"Reports ({custom.severity}):"
    help = f"\n\n## What to write instead\n\n{custom.help}" if custom.help else ""
    what = json.dumps(custom.what)
    return (
        f"# {custom.code} {custom.code.lower()}: {custom.message or _said(custom)}\n\n## What it does\n\n{does}\n\n"
        f"```toml\n[tool.diffsynth-port.rules.{custom.code}]\n{custom.kind} = {what}{of}{to}\n```{help}"
    )


def _said(custom: CustomRule) -> str:
    of = f" of {custom.of}" if custom.of else ""
    return f"{custom.what}{of} becomes {custom.to}"


def _checked(custom: CustomRule, module: ast.Module, unit: Unit) -> Iterator[Found]:
    nodes = list(unit.source.walk())  # from here on, every node knows what is around it
    match custom.kind:
        case "rename-call":
            for node in nodes:
                if isinstance(node, ast.Call) and unit.dotted(node.func) == custom.what:
                    yield _call_renamed(custom, node, unit)
        case "rename-argument":
            yield from _arguments_renamed(custom, nodes, unit)
        case "rename-module":
            yield from _module_renamed(custom, nodes, unit)
        case _:
            yield from _reported(custom, nodes, unit)


def _call_renamed(custom: CustomRule, node: ast.Call, unit: Unit) -> Found:
    message = custom.message or f"{custom.what}() becomes {custom.to}()"
    package = custom.to.rpartition(".")[0]
    added = import_of(package, unit) if package and not _is_reached(custom.to, unit) else []
    if added is None:
        return unit.report(custom.code, "warning", node, message, f"there is no place for an import of {package}")
    return unit.fix(custom.code, node, message, Edit(*unit.source.span(node.func), "", (custom.to,)), *added)


def _is_reached(name: str, unit: Unit) -> bool:
    """Whether an import binds the first part of a name as it is."""
    package = name.rpartition(".")[0]
    first = package.partition(".")[0]
    modules = unit.source.names.modules()
    return unit.source.names.bound.get(first) == first and any(f"{one}.".startswith(f"{package}.") for one in modules)


def _arguments_renamed(custom: CustomRule, nodes: list[ast.AST], unit: Unit) -> Iterator[Found]:
    for node in nodes:
        if not isinstance(node, ast.Call) or not _is_called(custom.of, node.func, unit):
            continue
        if any(keyword.arg == custom.to for keyword in node.keywords):
            continue  # it is given already, and no call takes an argument twice
        for keyword in node.keywords:
            if keyword.arg == custom.what:
                start, _ = unit.source.span(keyword)
                edit = Edit(start, start + len(custom.what.encode()), "", (custom.to,))
                yield unit.fix(custom.code, keyword, custom.message or f"{_said(custom)}", edit)


def _is_called(name: str, function: ast.expr, unit: Unit) -> bool:
    """By the full name; a name without dots also means any method that is called so."""
    if unit.dotted(function) == name:
        return True
    return "." not in name and isinstance(function, ast.Attribute) and label_of(function) == name


def _module_renamed(custom: CustomRule, nodes: list[ast.AST], unit: Unit) -> Iterator[Found]:
    message = custom.message or f"{custom.what} becomes {custom.to}"
    for node in nodes:
        match node:
            case ast.ImportFrom(module=str() as module, level=0) if f"{module}.".startswith(f"{custom.what}."):
                new = custom.to + module[len(custom.what) :]
                yield unit.fix(custom.code, node, message, Edit(*unit.source.span(node), "change_import", (new, ())))
            case ast.ImportFrom(module=str() as module, level=0) if custom.what.rpartition(".")[0] == module:
                if any(alias.name == custom.what.rpartition(".")[2] for alias in node.names):
                    yield _part_imported(custom, node, unit, message)
            case ast.Import(names=names):
                renamed = tuple(
                    (alias.name, custom.to + alias.name[len(custom.what) :])
                    for alias in names
                    if f"{alias.name}.".startswith(f"{custom.what}.")
                )
                if renamed:
                    edit = Edit(*unit.source.span(node), "change_import", ("", renamed))
                    yield unit.fix(custom.code, node, message, edit)
            case ast.Name(ctx=ast.Load()) | ast.Attribute(ctx=ast.Load()):
                if unit.dotted(node) == custom.what and ast.unparse(node) == custom.what:
                    yield unit.fix(custom.code, node, message, Edit(*unit.source.span(node), "", (custom.to,)))


def _part_imported(custom: CustomRule, node: ast.ImportFrom, unit: Unit, message: str) -> Found:
    """`from package import old` becomes `from package import new as old`, if the package stays."""
    package, _, old = custom.what.rpartition(".")
    new_package, _, new = custom.to.rpartition(".")
    if package != new_package or not new:
        return unit.report(custom.code, "warning", node, message, f"import {custom.to} in its place by hand")
    edit = Edit(*unit.source.span(node), "change_import", (package, ((old, f"{new} as {old}"),)))
    return unit.fix(custom.code, node, message, edit)


def _reported(custom: CustomRule, nodes: list[ast.AST], unit: Unit) -> Iterator[Found]:
    for node in nodes:
        match node:
            case ast.Name(ctx=ast.Load()) | ast.Attribute():
                around = unit.source.parent.get(node)
                if isinstance(around, ast.Attribute) and around.value is node:
                    continue  # a part of a longer name
                names = [unit.dotted(node)]
            case ast.Import(names=aliases):
                names = [alias.name for alias in aliases]
            case ast.ImportFrom(module=str() as module, level=0, names=aliases):
                names = [f"{module}.{alias.name}" for alias in aliases]
            case _:
                continue
        if any(name and _is_meant(custom, name) for name in names):
            yield unit.report(custom.code, custom.severity, node, custom.message, custom.help)


def _is_meant(custom: CustomRule, name: str) -> bool:
    if custom.kind == "report-pattern":
        return re.search(custom.what, name) is not None
    return fnmatchcase(name, custom.what) or name.startswith(f"{custom.what}.")
