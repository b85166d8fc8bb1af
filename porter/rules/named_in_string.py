"""
# DP211 named-in-string: a string that names CUDA, and no rule knows what for

## What it does

Reports strings with the word cuda, nccl or nvidia in them that no other rule has judged and that are not plainly text
for people, a path, a key or a name (note). The string is left as it is.

## Why

Nothing is passed over in silence: the program may take such a string for a device, a command, or a vendor that it asks
for, as in `"nvidia" in torch.cuda.get_device_name().lower()`.

## Before

    is_supported = "nvidia" in name.lower()

## What to write instead

    is_supported = torch.accelerator.is_available()
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.accounting.mentions import is_named_as_a_word
from porter.accounting.python_source import reason_of_string
from porter.rules.rule import Rule
from porter.unit import Found, Unit

_WORDS = ("cuda", "nccl", "nvidia")

RULE = Rule(
    "DP211",
    "named-in-string",
    __doc__,
    words=tuple(form for word in _WORDS for form in (word, word.upper(), word.capitalize())),
    fixes=False,
    spelled={"cuda": r"""cuda\b(?:(?<!["'.\w]cuda)|(?<=["']cuda)(?!:?[\d"'{%]))"""},
    last=True,
)


@RULE.on(ast.Constant)
def report_the_string(node: ast.Constant, unit: Unit) -> Iterator[Found]:
    if not isinstance(node.value, str) or not is_named_as_a_word(node.value) or _is_judged(node, unit):
        return
    if reason_of_string(node, unit.source) is None:
        message = "this string names CUDA, and no rule knows what for; it was left as it is"
        yield unit.report(RULE.code, "note", node, message, f"look whether {unit.translation.new.title} is meant too")


def _is_judged(node: ast.Constant, unit: Unit) -> bool:
    """Whether a rule has changed the string or what it begins, or reported it or an expression that it is part of."""
    if node in unit.fixed or node in unit.reported:
        return True
    child: ast.AST = node
    is_beginning = True
    for parent in unit.source.ancestors(node):
        begins = isinstance(parent, ast.JoinedStr | ast.BinOp | ast.Attribute)
        is_beginning = is_beginning and (begins or (isinstance(parent, ast.Call) and child is parent.func))
        child = parent
        if parent in unit.reported or (is_beginning and parent in unit.fixed):
            return True
        if isinstance(parent, ast.stmt):
            return False
    return False
