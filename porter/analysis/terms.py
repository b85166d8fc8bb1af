"""How programs write one operation: as an operator, as a function of torch, as a method."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from porter.analysis.flow import Term, opened

_FLOAT32 = frozenset({"torch.float32", "torch.float"})
_MODULES = ("torch.nn.functional.", "torch.linalg.", "torch.special.", "torch.")


class Called(NamedTuple):
    """A call of a function of torch or of a method: its bare name, the tensor it is about, the other arguments."""

    name: str
    tensor: Term
    args: list[Term]
    keywords: dict[str, Term]

    def argument(self, index: int, *names: str) -> Term | None:
        """By position behind the tensor, or by any of its names."""
        given = next((self.keywords[name] for name in names if name in self.keywords), None)
        return given if given is not None else self.args[index] if index < len(self.args) else None

    def takes_only(self, count: int, *names: str) -> bool:
        return len(self.args) <= count and self.keywords.keys() <= set(names)


def dotted(term: Term) -> str | None:
    """What a chain of attributes means."""
    return term.place.block.function.unit.dotted(term.node)


def called(term: Term) -> Called | None:
    """`torch.softmax(x, -1)`, `F.softmax(x, -1)` and `x.softmax(-1)` alike. A method of an unknown owner counts."""
    node = term.node
    if not isinstance(node, ast.Call) or any(isinstance(one, ast.Starred) for one in node.args):
        return None
    if any(keyword.arg is None for keyword in node.keywords):
        return None
    keywords = {keyword.arg or "": term.of(keyword.value) for keyword in node.keywords}
    args = [term.of(one) for one in node.args]
    name = dotted(term.of(node.func))
    if name is not None:
        bare = next((name[len(one) :] for one in _MODULES if name.startswith(one)), None)
        if bare is None or "." in bare:
            return None
        tensor = args.pop(0) if args else keywords.pop("input", keywords.pop("tensor", None))
        return Called(bare, tensor, args, keywords) if tensor is not None else None
    if isinstance(node.func, ast.Attribute) and not _is_self(node.func.value):
        return Called(node.func.attr, term.of(node.func.value), args, keywords)
    return None


def products(term: Term) -> Iterator[tuple[Term, Term]]:
    """The two factors of a product, in both orders."""
    yield from _pairs(term, ast.Mult, "mul", "multiply")


def sums(term: Term) -> Iterator[tuple[Term, Term]]:
    """The two terms of a sum, in both orders."""
    yield from _pairs(term, ast.Add, "add")


def quotient(term: Term) -> tuple[Term, Term] | None:
    return next(iter(_operands(term, ast.Div, "div", "divide", "true_divide")), None)


def matrix_product(term: Term) -> tuple[Term, Term, str] | None:
    """Left, right, and how: "@", "matmul" or "bmm"."""
    term = opened(term)
    if isinstance(term.node, ast.BinOp) and isinstance(term.node.op, ast.MatMult):
        return term.of(term.node.left), term.of(term.node.right), "@"
    found = called(term)
    if found and found.name in ("matmul", "bmm") and len(found.args) == 1 and not found.keywords:
        return found.tensor, found.args[0], found.name
    return None


def number(term: Term) -> float | None:
    """A number that is written out, or named where it was."""
    node = opened(term).node
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return float(value)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -float(value)
        case _:
            return None


def is_number(term: Term) -> bool:
    """Whether an expression is a number of the host beyond doubt, and not a tensor."""
    term = opened(term)
    node = term.node
    match node:
        case ast.Constant(value=value):
            return isinstance(value, int | float)
        case ast.BinOp(left=left, right=right):
            return is_number(term.of(left)) and is_number(term.of(right))
        case ast.UnaryOp(operand=operand):
            return is_number(term.of(operand))
        case ast.Call(func=function, args=[first], keywords=[]):
            name = dotted(term.of(function)) or (function.id if isinstance(function, ast.Name) else "")
            if name in ("math.sqrt", "float", "int"):
                return name != "math.sqrt" or is_number(term.of(first)) or isinstance(first, ast.Attribute | ast.Name)
            return isinstance(function, ast.Attribute) and function.attr == "size"
        case ast.Subscript(value=ast.Attribute(attr="shape"), slice=index):
            return not isinstance(index, ast.Slice)
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            given = term.place.block.function.attributes.get(name, [])
            return bool(given) and all(_is_number_of_init(one, term) for one in given)
        case ast.Name(id=name):
            return _is_annotated_as_number(name, term)
        case _:
            return False


def is_float32(term: Term) -> bool:
    return dotted(opened(term)) in _FLOAT32


def widened(term: Term) -> Term | None:
    """What is turned into float32: `x.float()`, `x.to(torch.float32)`."""
    found = called(opened(term))
    if found is None:
        return None
    if found.name == "float" and found.takes_only(0):
        return found.tensor
    if found.name in ("to", "type") and found.takes_only(1, "dtype"):
        dtype = found.argument(0, "dtype")
        return found.tensor if dtype is not None and is_float32(dtype) else None
    return None


def cast_like(term: Term) -> tuple[Term, Term] | None:
    """What is turned into the type of something, and that: `y.type_as(x)`, `y.to(x.dtype)`, `y.to(input_dtype)`."""
    found = called(opened(term))
    if found is None or not found.takes_only(1, "dtype"):
        return None
    given = found.argument(0, "dtype")
    if given is None:
        return None
    if found.name == "type_as":
        return found.tensor, given
    dtype = opened(given)
    if found.name in ("to", "type") and isinstance(dtype.node, ast.Attribute) and dtype.node.attr == "dtype":
        return found.tensor, dtype.of(dtype.node.value)
    return None


def last_dimension(found: Called, index: int, *names: str) -> bool:
    """Whether an argument that names a dimension says the last one."""
    given = found.argument(index, *(names or ("dim", "axis")))
    if given is None:
        return False
    node = opened(given).node
    if isinstance(node, ast.Tuple | ast.List) and len(node.elts) == 1:
        node = node.elts[0]
    return number(given.of(node)) == -1


def is_true(term: Term | None) -> bool:
    return term is not None and isinstance(term.node, ast.Constant) and term.node.value is True


def _pairs(term: Term, operator: type[ast.operator], *names: str) -> Iterator[tuple[Term, Term]]:
    for left, right in _operands(term, operator, *names):
        yield left, right
        yield right, left


def _operands(term: Term, operator: type[ast.operator], *names: str) -> Iterator[tuple[Term, Term]]:
    term = opened(term)
    if isinstance(term.node, ast.BinOp) and isinstance(term.node.op, operator):
        yield term.of(term.node.left), term.of(term.node.right)
        return
    found = called(term)
    if found and found.name in names and len(found.args) == 1 and not found.keywords:
        yield found.tensor, found.args[0]


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def _is_number_of_init(node: ast.expr, term: Term) -> bool:
    """What `__init__` assigns: a power, a root, a number; names of the configuration count as numbers in these."""
    match node:
        case ast.Constant(value=value):
            return isinstance(value, int | float)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return number(term.of(right)) is not None and not isinstance(left, ast.Call)
        case ast.BinOp(left=left, op=ast.Div() | ast.Mult(), right=right):
            return _is_number_of_init(left, term) and _is_number_of_init(right, term)
        case ast.BoolOp(values=values):
            return any(_is_number_of_init(one, term) for one in values)
        case ast.IfExp(body=body, orelse=orelse):
            return _is_number_of_init(body, term) or _is_number_of_init(orelse, term)
        case ast.Call(func=function, args=[_], keywords=[]):
            return dotted(term.of(function)) == "math.sqrt" or (
                isinstance(function, ast.Name) and function.id == "float"
            )
        case _:
            return False


def _is_annotated_as_number(name: str, term: Term) -> bool:
    annotation = term.place.block.function.annotations.get(name)
    if annotation is None:
        return False
    return bool({"float", "int"} & {part.id for part in ast.walk(annotation) if isinstance(part, ast.Name)})
