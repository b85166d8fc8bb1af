"""
# DP112 name-in-string: a name below torch.cuda, written as a string

## What it does

Renames `"torch.cuda"` and what is below it where a string stands for the module or function: in `import_module`,
`mock.patch`, `monkeypatch.setattr`, `find_spec`, and as the key of `sys.modules`. What the target does not have is
reported (error).

## Why

The string is looked up when the program runs, and finds CUDA's module, which the ported program no longer calls: a
test that patches `torch.cuda.is_available` patches nothing.

## Before

    cuda = importlib.import_module("torch.cuda")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)

## After

    cuda = importlib.import_module("torch.npu")
    monkeypatch.setattr("torch.npu.device_count", lambda: 8)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from porter.findings import Edit
from porter.places import label_of
from porter.rules.rule import Rule
from porter.targets import TARGETS_AND_CUDA, Translation
from porter.unit import Found, Unit

_TAKE_A_NAME = frozenset(
    """import_module __import__ import_or_skip importorskip find_spec patch setattr delattr resolve_name locate
    optional_import is_module_available LazyModule lazy_import get_class""".split()
)


def _words(translation: Translation) -> frozenset[str]:
    return frozenset({translation.old.name})


RULE = Rule(
    "DP112",
    "name-in-string",
    __doc__,
    words=_words,
    spelled={name: rf"torch\.{name}\b(?<=[\"']torch\.{name})" for name in TARGETS_AND_CUDA},
)


@RULE.on(ast.Constant)
def rename_what_is_looked_up(node: ast.Constant, unit: Unit) -> Iterator[Found]:
    old, translation = f"torch.{unit.translation.old.name}", unit.translation
    if not isinstance(node.value, str) or not re.fullmatch(rf"{re.escape(old)}(?:\.\w+)*", node.value):
        return
    if not _is_looked_up(node, unit):
        return
    name = node.value.removeprefix("torch.")
    known = translation.known_part(name)
    if known is not None:
        new = f"torch.{translation.names[known]}{name[len(known) :]}"
        edit = Edit(*unit.source.span(node), "replace_start", (node.value, new))
        yield unit.fix(RULE.code, node, f"{node.value} becomes {new}", edit)
    elif not translation.undoes:
        message = f"{translation.new.title} has no {node.value}"
        yield unit.report(RULE.code, "error", node, message, translation.lacking.get(name, ""))


def _is_looked_up(node: ast.Constant, unit: Unit) -> bool:
    parent = unit.source.parent.get(node)
    match parent:
        case ast.Call(func=function, args=[first, *_]):
            return first is node and label_of(function) in _TAKE_A_NAME
        case ast.Subscript(value=owner):
            return unit.dotted(owner) == "sys.modules" or label_of(owner) == "modules"
        case ast.Compare(comparators=[owner]):
            return label_of(owner) == "modules"
        case _:
            return False
