"""The literals that name a device or a communication backend, in every way programs build them.

"cuda"   'cuda:1'   f"cuda:{rank}"   "cuda:" + str(i)   "cuda:%d" % i   "cuda:{}".format(i)   "cuda:0,cuda:1"
"nccl"   "cpu:gloo,cuda:nccl"
"""

from __future__ import annotations

import ast
import re
from functools import cache, lru_cache
from typing import NamedTuple

from porter.findings import Edit
from porter.source import Source
from porter.targets import Translation


class Literal(NamedTuple):
    """A literal whose text begins with `old`, which shall be `new`. `number` is the device's, where written out."""

    node: ast.expr
    old: str
    new: str
    number: int | None = None

    def edit(self, source: Source) -> Edit:
        return Edit(*source.span(self.node), "replace_start", (self.old, self.new))


@lru_cache(maxsize=2)  # two rules ask for each node, one after the other
def device_literal(node: ast.AST, translation: Translation) -> Literal | None:
    """The device that an expression spells, if it spells one of the old accelerator's."""
    old, new = translation.old.name, translation.new.name
    match node:
        case ast.Constant(value=str() as text):
            if text.startswith(old) and (found := _device(old).fullmatch(text)):  # the first costs next to nothing
                return Literal(node, old, new, int(found[1]) if found[1] else None)
            if text.startswith(old) and "," in text:
                return _list_of_devices(node, text, old, new)
        case ast.JoinedStr(values=[ast.Constant(value=str() as text), *fields]):
            wanted = rf"{old}:\d*" if fields else rf"{old}(:\d+)?"
            if re.fullmatch(wanted, text) and all(isinstance(f, ast.FormattedValue) for f in fields):
                return Literal(node, old, new)
        case ast.BinOp(op=ast.Add() | ast.Mod()):
            text = _beginning(node)
            if text != old and _device(old).fullmatch(text):
                return Literal(node, old, new)
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str() as text), attr="format")):
            if text != old and _device(old).fullmatch(text):
                return Literal(node, old, new)
    return None


def _list_of_devices(node: ast.expr, text: str, old: str, new: str) -> Literal | None:
    """`"cuda:0,cuda:1"`: devices of one accelerator, or the host, and nothing else."""
    parts = text.split(",")
    numbers = [re.fullmatch(rf"\s*(?:{old}(?::(\d+))?|cpu)\s*", part) for part in parts]
    if not all(numbers):
        return None
    highest = max((int(number[1]) for number in numbers if number and number[1]), default=None)
    return Literal(node, text, text.replace(old, new), highest)


def backend_literal(node: ast.AST, translation: Translation) -> Literal | None:
    """The communication backend that a string spells, alone or per device, if it spells the old accelerator's."""
    old, new = translation.old, translation.new
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        return None
    if not old.backend or old.backend not in node.value:
        return None
    if node.value == old.backend:
        return Literal(node, old.backend, new.backend or "")
    parts = node.value.split(",")
    if not all(re.fullmatch(r"\w+:\w+", part) for part in parts) or f"{old.name}:{old.backend}" not in parts:
        return None
    pair = f"{new.name}:{new.backend}"
    wanted = ",".join(pair if part == f"{old.name}:{old.backend}" else part for part in parts)
    return Literal(node, node.value, wanted if new.backend else "")


@cache
def _device(name: str) -> re.Pattern[str]:
    """The device, its number, or a place for the number to be put in: `cuda`, `cuda:1`, `cuda:`, `cuda:%d`."""
    return re.compile(rf"{name}(?::(?:(\d+)|%[dis]|\{{\w*(?::d)?\}})?)?")


def _beginning(node: ast.expr) -> str:
    """What a sum of strings begins with, as far as its first operands are written out: `"cuda" + ":" + str(i)`."""
    operands: list[ast.expr] = []
    while isinstance(node, ast.BinOp):
        operands.append(node.right)
        node = node.left
    text = ""
    for operand in (node, *reversed(operands)):
        match operand:
            case ast.Constant(value=str() as more):
                text += more
            case ast.JoinedStr(values=[ast.Constant(value=str() as more), *_]):
                return text + more
            case _:
                return text
    return text
