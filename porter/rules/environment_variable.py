"""
# DP107 environment-variable: variables that steer CUDA, set or read by the program

## What it does

Renames the variables that have a documented pair (`CUDA_VISIBLE_DEVICES`, `PYTORCH_CUDA_ALLOC_CONF`, ...) where they
are set or read through `os.environ`, a copy of it, `os.getenv` and the like. It reports keys of the allocator's
settings that the target does not know, variables inside a shell command, and well-known variables of CUDA and its
libraries that have no pair (`CUDA_HOME`, `NCCL_DEBUG`, ...). With `--torch-npu`, also the keys and variables that this
build of torch_npu does not know, and others do (error, warning).

## Why

The accelerator's runtime reads its own variables; the CUDA ones have no effect. torch_npu raises on an allocator key
that it does not know: 2.5.1.post1 knows four, 2.14.0 nineteen. `PYTORCH_ALLOC_CONF` is read from 2.10.0.post7 on, and
`TORCH_HCCL_BLOCKING_WAIT` by builds of October 2026, where `HCCL_BLOCKING_WAIT` is read by all.

## Before

    os.environ["CUDA_VISIBLE_DEVICES"] = "0,1"

## After

    os.environ["ASCEND_RT_VISIBLE_DEVICES"] = "0,1"
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from porter.environment import (
    ALLOCATOR,
    DEVICES,
    OF_CUDA,
    lacks_a_pair,
    refused_by_the_build,
    refused_devices,
    unknown_allocator_keys,
    unread_by_the_build,
    visible_devices,
    without_effect,
)
from porter.findings import Edit
from porter.places import label_of, place_of
from porter.rules.rule import Rule
from porter.targets import Translation
from porter.unit import Found, Unit
from porter.vocabulary import PRINTING

_METHODS = frozenset("get pop setdefault getenv putenv unsetenv setenv delenv".split())

#: What programs call the environment and its copies, alone or at the end of a name: `child_env`.
_ENVIRONMENT = re.compile(r"(?:.*_)?(env|envs|environ|environment)", re.IGNORECASE)


def _words(translation: Translation) -> frozenset[str]:
    allocator = translation.environment.get(ALLOCATOR, ALLOCATOR)
    lacking = (name for name in OF_CUDA if lacks_a_pair(name, translation))
    return frozenset({*translation.environment, allocator, *lacking, *unread_by_the_build(translation)})


RULE = Rule("DP107", "environment-variable", __doc__, words=_words)


@RULE.on(ast.Constant)
def rename_the_variable(node: ast.Constant, unit: Unit) -> Iterator[Found]:
    old, pairs = node.value, unit.translation.environment
    if not isinstance(old, str) or old not in pairs or not _is_of_the_environment(node, unit):
        return
    if _is_set(pairs[old], unit) and not isinstance(unit.source.parent.get(node), ast.Dict):
        yield _left_beside(old, pairs[old], node, unit)
        return
    edit = Edit(*unit.source.span(node), "replace_start", (old, pairs[old]))
    yield _renamed(old, pairs[old], node, _value_set(node, unit), edit, unit)


@RULE.on(ast.Constant)
def report_unknown_allocator_keys(node: ast.Constant, unit: Unit) -> Iterator[Found]:
    """The value stays as it is, so it is judged under the variable's old name and under its new one."""
    names = (ALLOCATOR, unit.translation.environment.get(ALLOCATOR))
    value = _value_set(node, unit) if node.value in names else None
    if value is None or not isinstance(value.value, str):
        return
    for key, namesake in unknown_allocator_keys(value.value, unit.translation):
        way_out = f"write {namesake}" if namesake else "take the key out of the value"
        message = f"the allocator of {unit.translation.new.title} raises on the unknown key {key!r}"
        yield unit.report(RULE.code, "error", value, message, way_out)
    for message, way_out in refused_by_the_build(value.value, unit.translation):
        yield unit.report(RULE.code, "error", value, message, way_out)


@RULE.on(ast.keyword)
def rename_the_keyword(node: ast.keyword, unit: Unit) -> Iterator[Found]:
    """`dict(os.environ, CUDA_VISIBLE_DEVICES="0")`, `os.environ.update(CUDA_VISIBLE_DEVICES="0")`."""
    new = unit.translation.environment.get(node.arg or "")
    if new is not None and _is_keyword_of_the_environment(node, unit):
        if _is_set(new, unit):
            yield _left_beside(node.arg or "", new, node, unit)
            return
        start, _ = unit.source.span(node)
        edit = Edit(start, start + len((node.arg or "").encode()), "rename_chain", ((node.arg or "",), (new,)))
        yield _renamed(node.arg or "", new, node, node.value, edit, unit)


@RULE.on(ast.Constant)
def report_the_shell_command(node: ast.Constant, unit: Unit) -> Iterator[Found]:
    """A variable set at the head of a command line, also where an f-string puts it together."""
    if unit.translation.undoes or not isinstance(node.value, str):
        return
    for found in re.finditer(r"\b([A-Z][A-Z0-9_]+)=", node.value):
        if (name := found[1]) in unit.translation.environment and not _is_read_by_people(node, unit):
            way_out = f"set {unit.translation.environment[name]} as well"
            yield unit.report(RULE.code, "warning", node, f"{name} is set in a command line", way_out)
        elif lacks_a_pair(name, unit.translation) and not _is_read_by_people(node, unit):
            yield unit.report(RULE.code, "note", node, *without_effect(name, unit.translation))


@RULE.on(ast.Constant)
def report_what_has_no_pair(node: ast.Constant, unit: Unit) -> Iterator[Found]:
    name = node.value
    if isinstance(name, str) and lacks_a_pair(name, unit.translation) and _is_of_the_environment(node, unit):
        yield unit.report(RULE.code, "note", node, *without_effect(name, unit.translation))


@RULE.on(ast.Constant)
def report_what_the_build_does_not_read(node: ast.Constant, unit: Unit) -> Iterator[Found]:
    said = unread_by_the_build(unit.translation).get(node.value) if isinstance(node.value, str) else None
    if said and _is_of_the_environment(node, unit):
        yield unit.report(RULE.code, "warning", node, *said)


@RULE.on(ast.keyword)
def report_the_keyword_that_the_build_does_not_read(node: ast.keyword, unit: Unit) -> Iterator[Found]:
    said = unread_by_the_build(unit.translation).get(node.arg or "")
    if said and _is_keyword_of_the_environment(node, unit):
        yield unit.report(RULE.code, "warning", node, *said)


@RULE.on(ast.keyword)
def report_the_keyword_that_has_no_pair(node: ast.keyword, unit: Unit) -> Iterator[Found]:
    name = node.arg or ""
    if lacks_a_pair(name, unit.translation) and _is_keyword_of_the_environment(node, unit):
        yield unit.report(RULE.code, "note", node, *without_effect(name, unit.translation))


def _renamed(old: str, new: str, node: ast.AST, value: ast.expr | None, edit: Edit, unit: Unit) -> Found:
    """The variable under its new name, with the devices as that one has them, or why it has to stay."""
    edits = [edit]
    if old == DEVICES and isinstance(value, ast.Constant) and isinstance(value.value, str):
        devices = visible_devices(value.value, unit.translation)
        if devices is None:
            return unit.report(RULE.code, "error", value, *refused_devices(value.value, unit.translation))
        if devices != value.value:
            edits.append(Edit(*unit.source.span(value), "replace_start", (value.value, devices)))
    return unit.fix(RULE.code, node, f"{old} becomes {new}", *edits)


def _left_beside(old: str, new: str, node: ast.AST, unit: Unit) -> Found:
    message = f"{old} stays as it is: the program sets {new} itself"
    return unit.report(RULE.code, "note", node, message, "take out the one that is not meant")


def _is_set(name: str, unit: Unit) -> bool:
    """Whether the file gives the variable a value somewhere, by its own line or keyword."""
    return name in unit.source.text and any(_sets(node, name) for node in ast.walk(unit.source.tree))


def _sets(node: ast.AST, name: str) -> bool:
    match node:
        case ast.keyword(arg=arg):
            return arg == name
        case ast.Subscript(slice=ast.Constant(value=value), ctx=ast.Store()):
            return value == name
        case ast.Call(func=func, args=[ast.Constant(value=value), _, *_]):
            return value == name and label_of(func) in ("setdefault", "putenv", "setenv")
        case _:
            return False


def _is_keyword_of_the_environment(node: ast.keyword, unit: Unit) -> bool:
    call = unit.source.parent.get(node)
    return isinstance(call, ast.Call) and any(_is_environment(part, unit) for part in (call.func, *call.args))


def _is_of_the_environment(node: ast.expr, unit: Unit) -> bool:
    parent = unit.source.parent.get(node)
    match parent:
        case ast.Subscript():
            return parent.slice is node and _is_environment(parent.value, unit)
        case ast.Call():
            called = label_of(parent.func)
            through_os = (unit.dotted(parent.func) or "").startswith("os.")
            return called in _METHODS and (
                through_os or called in ("setenv", "delenv") or _is_environment(parent.func, unit)
            )
        case ast.Compare():
            return any(_is_environment(part, unit) for part in parent.comparators)
        case ast.Dict():
            return node in parent.keys and _is_laid_over_the_environment(parent, unit)
        case _:
            return False


def _is_laid_over_the_environment(entries: ast.Dict, unit: Unit) -> bool:
    """`{**os.environ, ...}`, `env={...}`, `env = {...}`, `os.environ.update({...})`, `os.environ | {...}`."""
    merged = [value for key, value in zip(entries.keys, entries.values, strict=True) if key is None]
    if any(_is_environment(value, unit) for value in merged):
        return True
    match unit.source.parent.get(entries):
        case ast.keyword(arg=str() as name):
            return _ENVIRONMENT.fullmatch(name) is not None
        case ast.Assign(targets=[target, *_]) | ast.AnnAssign(target=target) | ast.AugAssign(target=target):
            return _is_environment(target, unit)
        case ast.BinOp(left=left):
            return _is_environment(left, unit)
        case ast.Call() as call:
            return _is_environment(call, unit)
        case _:
            return False


def _is_environment(node: ast.AST, unit: Unit) -> bool:
    """`os.environ`, its methods and copies, and variables that are called env."""
    dotted = unit.dotted(node) or ""
    if dotted == "os.environ" or dotted.startswith("os.environ."):
        return True
    match node:
        case ast.Call():
            return any(_is_environment(part, unit) for part in (node.func, *node.args))
        case ast.Attribute():
            return _ENVIRONMENT.fullmatch(node.attr) is not None or _is_environment(node.value, unit)
        case ast.Name():
            return _ENVIRONMENT.fullmatch(node.id) is not None
        case _:
            return False


def _is_read_by_people(node: ast.Constant, unit: Unit) -> bool:
    """Whether the text is a docstring, or printed or logged, whole or as part of an f-string."""
    around = unit.source.parent.get(node)
    place = place_of(around if isinstance(around, ast.JoinedStr) else node, unit.source)
    return isinstance(around, ast.Expr) or place.callee in PRINTING or place.callee.endswith("Error")


def _value_set(node: ast.Constant, unit: Unit) -> ast.Constant | None:
    """The string that the variable is set to, where the program writes it out."""
    parent = unit.source.parent.get(node)
    value: ast.AST | None = None
    if isinstance(parent, ast.Subscript):
        statement = unit.source.parent.get(parent)
        value = statement.value if isinstance(statement, ast.Assign) else None
    elif isinstance(parent, ast.Call) and len(parent.args) > 1:
        value = parent.args[1]
    return value if isinstance(value, ast.Constant) else None
