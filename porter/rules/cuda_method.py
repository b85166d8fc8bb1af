"""
# DP105 cuda-method: .cuda() and .is_cuda

## What it does

Renames the method that moves a tensor, module or storage, and the attribute that asks where it is. Where the target
has no such method, the call becomes `.to(...)`.

A file that defines a `cuda` or `is_cuda` of its own is left alone and reported: it may mean that one. So is a call in
another file of the run on an object of a class that defines one, as far as the file shows what it is.

## Why

`.cuda()` moves to an NVIDIA device and raises without one; `.is_cuda` is false on every other accelerator.

## Before

    model = model.cuda()
    batch = batch.cuda(0, non_blocking=True)
    pinned = not batch.is_cuda

## After

    model = model.npu()
    batch = batch.npu(0, non_blocking=True)
    pinned = not batch.is_npu
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.definitions import class_meant
from porter.findings import Edit
from porter.rules.rule import Rule
from porter.targets import Translation
from porter.unit import Found, Unit


def _words(translation: Translation) -> frozenset[str]:
    return frozenset(word for word in (translation.old.method, translation.old.flag) if word)


RULE = Rule("DP105", "cuda-method", __doc__, words=_words)


@RULE.on(ast.Call)
def move_to_the_new_device(node: ast.Call, unit: Unit) -> Iterator[Found]:
    old, new = unit.translation.old, unit.translation.new
    if not isinstance(node.func, ast.Attribute) or node.func.attr != old.method or _is_a_module(node.func, unit):
        return
    if old.method in unit.source.names.defined:
        message = f"this file defines {old.method}() itself; the call was left as it is"
        yield unit.report(RULE.code, "warning", node, message, "move to the device with .to(...) instead")
    elif (owner := class_meant(node.func.value, unit)) is not None:
        message = f"the class {owner} defines {old.method}() itself; the call was left as it is"
        yield unit.report(RULE.code, "warning", node, message, "move to the device with .to(...) instead")
    elif new.method:
        edit = Edit(*unit.source.span(node.func), "rename_method", (old.method, new.method))
        yield unit.fix(RULE.code, node, f".{old.method}() becomes .{new.method}()", edit)
    elif not new.indexed and (number := _number_of_the_device(node)):
        message = f"{new.title} has one device; there is no number {number}"
        yield unit.report(RULE.code, "error", node, message, f'.to("{new.name}")')
    else:
        edit = Edit(*unit.source.span(node), "call_to", (old.name, new.name))
        yield unit.fix(RULE.code, node, f'.{old.method}() becomes .to("{new.name}")', edit)


@RULE.on(ast.Attribute)
def ask_for_the_new_device(node: ast.Attribute, unit: Unit) -> Iterator[Found]:
    old, new = unit.translation.old, unit.translation.new
    if node.attr != old.flag or _is_called(node, unit):
        return
    if old.flag in unit.source.names.defined:
        message = f"this file defines {old.flag} itself; it was left as it is"
        yield unit.report(RULE.code, "warning", node, message, f'compare .device.type with "{new.name}" instead')
    elif unit.translation.keeps_cuda and _is_given_by_the_program(old.flag, unit):
        message = f"this file sets {old.flag} itself; it was left as it is"
        yield unit.report(RULE.code, "warning", node, message, "compare .device.type with the device instead")
    elif unit.translation.keeps_cuda:
        edit = Edit(*unit.source.span(node), "compare_device", (new.name,))
        yield unit.fix(RULE.code, node, f".{old.flag} becomes a comparison with the device", edit)
    elif new.flag:
        edit = Edit(*unit.source.span(node), "rename_method", (old.flag, new.flag))
        yield unit.fix(RULE.code, node, f".{old.flag} becomes .{new.flag}", edit)
    else:
        way_out = f'compare .device.type with "{new.name}"'
        yield unit.report(RULE.code, "error", node, f"tensors have no flag for {new.title}", way_out)


def _number_of_the_device(call: ast.Call) -> int:
    """The number of the device that a call names, as an integer or as part of a string; 0 where it names none."""
    given = [*call.args[:1], *(keyword.value for keyword in call.keywords if keyword.arg == "device")]
    for value in given:
        if isinstance(value, ast.Constant) and (text := str(value.value).rpartition(":")[2]).isdecimal():
            return int(text)
    return 0


def _is_given_by_the_program(flag: str, unit: Unit) -> bool:
    """`self.is_cuda = ...`: the flag of a tensor cannot be set."""
    nodes = unit.source.walk(unit.source.lines_of({flag.encode()}))
    return any(
        isinstance(one, ast.Attribute) and one.attr == flag and not isinstance(one.ctx, ast.Load) for one in nodes
    )


def _is_called(node: ast.Attribute, unit: Unit) -> bool:
    """`platform.is_cuda()` is a method of somebody's; the flag of a tensor is never called."""
    call = unit.source.parent.get(node)
    return isinstance(call, ast.Call) and call.func is node


def _is_a_module(function: ast.Attribute, unit: Unit) -> bool:
    """`torch.cuda` and the like are modules; whatever is called `.cuda()` on one is no method."""
    return unit.dotted(function) is not None and (unit.dotted(function.value) or "").split(".")[0] == "torch"
