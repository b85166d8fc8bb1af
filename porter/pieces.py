"""The rewriting itself: libcst gets the smallest piece of source that holds a change and gives it back changed.

A piece is an expression or an import statement; whatever is not named by the change - quotes, prefixes, spacing,
comments, line breaks - comes back byte for byte. Scripts repeat themselves, so each answer is remembered.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import libcst as cst


class CannotRewrite(ValueError):
    """The piece is not of the form that the change is for; the message goes on after "but"."""


def _module(text: str) -> cst.Module:
    return cst.Module([], default_newline="\r\n" if "\r\n" in text else "\r" if "\r" in text else "\n")


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
def replace_start(text: str, old: str, new: str) -> str:
    """A string literal whose text starts with `old`: '"cuda:1"', "f'cuda:{rank}'", '"cuda:" + str(rank)'."""

    def change(node: cst.BaseExpression) -> cst.BaseExpression:
        if isinstance(node, cst.SimpleString):
            opening = len(node.prefix) + len(node.quote)
            if node.value.startswith(old, opening):
                return node.with_changes(value=node.value[:opening] + new + node.value[opening + len(old) :])
        elif isinstance(node, cst.FormattedString) and node.parts:
            first = node.parts[0]
            if isinstance(first, cst.FormattedStringText) and first.value.startswith(old):
                first = first.with_changes(value=new + first.value[len(old) :])
                return node.with_changes(parts=(first, *node.parts[1:]))
        elif isinstance(node, cst.ConcatenatedString | cst.BinaryOperation):
            return node.with_changes(left=change(node.left))
        elif isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute):
            return node.with_changes(func=node.func.with_changes(value=change(node.func.value)))
        raise CannotRewrite(f"{text!r} does not begin with {old!r} as written")

    return _expression(text, change)


@cache
def replace_expression(text: str, new: str) -> str:
    """Any expression, replaced whole."""
    return _expression(text, lambda _: cst.parse_expression(f"({new})"))


@cache
def rename_chain(text: str, old_count: int, new_names: tuple[str, ...]) -> str:
    """The last `old_count` names of `a.b.c` replaced: ('torch.cuda.CUDAGraph', 2, ('npu', 'NPUGraph'))."""

    def rename(node: cst.BaseExpression, names: tuple[str, ...]) -> cst.BaseExpression:
        if not names:
            return node
        if isinstance(node, cst.Attribute):
            attr = node.attr.with_changes(value=names[-1])
            return node.with_changes(value=rename(node.value, names[:-1]), attr=attr)
        if isinstance(node, cst.Name) and len(names) == 1:
            return node.with_changes(value=names[0])
        raise CannotRewrite(f"{text!r} is not a chain of names")

    def change(node: cst.BaseExpression) -> cst.BaseExpression:
        if old_count == len(new_names):
            return rename(node, new_names)
        base = node
        for _ in range(old_count):
            if not isinstance(base, cst.Attribute):
                raise CannotRewrite(f"{text!r} is not a chain of {old_count} attributes")
            base = base.value
        for name in new_names:
            base = cst.Attribute(base, cst.Name(name))
        return base.with_changes(lpar=node.lpar, rpar=node.rpar)

    return _expression(text, change)


@cache
def rename_method(text: str, new: str) -> str:
    """`model.cuda(0)` to `model.npu(0)`, and `x.is_cuda` to `x.is_npu`."""

    def change(node: cst.BaseExpression) -> cst.BaseExpression:
        if isinstance(node, cst.Call):
            return node.with_changes(func=change(node.func))
        if isinstance(node, cst.Attribute):
            return node.with_changes(attr=node.attr.with_changes(value=new))
        raise CannotRewrite(f"{text!r} is not a method or its call")

    return _expression(text, change)


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


@cache
def change_import(text: str, module: str, renamed: tuple[tuple[str, str], ...]) -> str:
    """`from OLD import a, b` to `from MODULE import ...`, or `import OLD` with `module` as its new name.

    `renamed` pairs each imported name that changes with its new one. A name that changes keeps what it is called
    in the rest of the file: `CUDAGraph` becomes `NPUGraph as CUDAGraph`, and turned round it loses the `as` again.
    """
    rendering = _module(text)
    line = cst.parse_statement(text)
    statement = line.body[0] if isinstance(line, cst.SimpleStatementLine) else None
    if statement is None or rendering.code_for_node(statement) != text:
        raise CannotRewrite(f"libcst does not give back {text!r} as it stands")
    names = dict(renamed)
    if isinstance(statement, cst.ImportFrom):
        if not isinstance(statement.names, cst.ImportStar):
            aliases = [_rename_alias(alias, names) for alias in statement.names]
            statement = statement.with_changes(names=aliases)
        return rendering.code_for_node(statement.with_changes(module=_dotted(module)))
    if isinstance(statement, cst.Import):
        aliases = [
            alias.with_changes(name=_dotted(names[alias.evaluated_name])) if alias.evaluated_name in names else alias
            for alias in statement.names
        ]
        return rendering.code_for_node(statement.with_changes(names=aliases))
    raise CannotRewrite(f"{text!r} is not an import")


def _rename_alias(alias: cst.ImportAlias, names: dict[str, str]) -> cst.ImportAlias:
    old = alias.evaluated_name
    if old not in names or names[old] == old:
        return alias
    new, _, keep = names[old].partition(" as ")
    alias = alias.with_changes(name=cst.Name(new))
    if alias.asname is None and keep:
        return alias.with_changes(asname=cst.AsName(cst.Name(keep)))
    if alias.evaluated_alias == new:
        return alias.with_changes(asname=None)
    return alias


def _dotted(name: str) -> cst.Attribute | cst.Name:
    first, *rest = name.split(".")
    node: cst.Attribute | cst.Name = cst.Name(first)
    for part in rest:
        node = cst.Attribute(node, cst.Name(part))
    return node
