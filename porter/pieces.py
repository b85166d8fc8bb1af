"""Expressions that are put together anew: libcst gets the smallest one that holds a change and gives it back changed.

Whatever is not named by the change - quotes, prefixes, spacing, comments, line breaks - comes back byte for byte.
Scripts repeat themselves, so each answer is remembered. What only gets another name needs none of this
(porter.new_names).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import libcst as cst

from porter.new_names import CannotRewrite

_NEWLINE = re.compile(r"\r\n|\r|\n")


def _module(text: str) -> cst.Module:
    """libcst takes the first line ending for the usual one, and writes that where it has noted none."""
    first = _NEWLINE.search(text)
    return cst.Module([], default_newline=first[0] if first else "\n")


def _expression(text: str, change: Callable[[cst.BaseExpression], cst.BaseExpression]) -> str:
    """The parentheses let a piece run over several lines, as it may do where it comes from."""
    module = _module(text)
    try:
        piece = cst.parse_expression(f"({text})")
    except cst.ParserSyntaxError:
        raise CannotRewrite(f"libcst cannot read {text!r} by itself") from None
    if module.code_for_node(piece) != f"({text})":
        raise CannotRewrite(f"libcst does not give back {text!r} as it stands")
    return module.code_for_node(change(piece))[1:-1]


@cache
def compare_device(text: str, new: str) -> str:
    """`x.is_cuda` to `(NEW != "cpu" and x.device.type == NEW)`: NEW names what holds "cpu" on a host alone."""

    def change(node: cst.BaseExpression) -> cst.BaseExpression:
        if not isinstance(node, cst.Attribute):
            raise CannotRewrite(f"{text!r} is not an attribute")
        device = cst.Attribute(cst.Attribute(node.value, cst.Name("device")), cst.Name("type"))
        is_there = cst.Comparison(cst.Name(new), [cst.ComparisonTarget(cst.NotEqual(), cst.SimpleString('"cpu"'))])
        compared = cst.Comparison(device, [cst.ComparisonTarget(cst.Equal(), cst.Name(new))])
        both = cst.BooleanOperation(is_there, cst.And(), compared)
        return both.with_changes(lpar=[cst.LeftParen(), *node.lpar], rpar=[*node.rpar, cst.RightParen()])

    return _expression(text, change)


@cache
def call_to(text: str, old: str, new: str) -> str:
    """`model.cuda(0, True)` to `model.to("mps:0", non_blocking=True)`: `to` takes a dtype in the second place."""

    def change(node: cst.BaseExpression) -> cst.BaseExpression:
        if not isinstance(node, cst.Call) or not isinstance(node.func, cst.Attribute):
            raise CannotRewrite(f"{text!r} is not a method call")
        arguments = list(node.args)
        given = [index for index, argument in enumerate(arguments) if _is_device_argument(argument, index)]
        for index in given:
            value = _device(arguments[index].value, old, new)
            arguments[index] = arguments[index].with_changes(value=value)
        if len(arguments) > 1 and not any(argument.keyword or argument.star for argument in arguments[:2]):
            tight = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
            arguments[1] = arguments[1].with_changes(keyword=cst.Name("non_blocking"), equal=tight)
        if not given:
            comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
            device = cst.Arg(cst.SimpleString(f'"{new}"'))
            arguments.insert(0, device.with_changes(comma=comma) if arguments else device)
        func = node.func.with_changes(attr=node.func.attr.with_changes(value="to"))
        return node.with_changes(func=func, args=arguments)

    return _expression(text, change)


def _is_device_argument(argument: cst.Arg, index: int) -> bool:
    if argument.keyword is not None:
        return argument.keyword.value == "device"
    return index == 0 and argument.star != "**"


def _device(node: cst.BaseExpression, old: str, new: str) -> cst.BaseExpression:
    if isinstance(node, cst.Integer):
        return cst.SimpleString(f'"{new}:{node.value}"')
    if isinstance(node, cst.Name) and node.value == "None":
        return cst.SimpleString(f'"{new}"')
    if isinstance(node, cst.SimpleString) and node.raw_value.startswith(old):
        return node.with_changes(value=node.value.replace(old, new, 1))
    return node
