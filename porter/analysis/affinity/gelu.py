"""
# DP505 fused-activation: GELU and SiLU written out

## What it does

With `--affinity`, reports GELU by its own formula, exact (`erf`) or by tanh, `x * sigmoid(1.702 * x)` and
`x * sigmoid(x)`. `--apply-affinity` writes `torch.nn.functional.gelu` and `silu`, which are one kernel on any device,
and `torch_npu.npu_fast_gelu`. Other constants are other functions and left alone.

## Why

Written out it is up to eight kernels; fused it is one. The results differ by rounding.

## Before

    import torch
    import torch.nn.functional as F


    def quick_gelu(x):
        return x * torch.sigmoid(1.702 * x)

## After

    import torch
    import torch_npu
    import torch.nn.functional as F


    def quick_gelu(x):
        return torch_npu.npu_fast_gelu(x)
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator

from porter.analysis.affinity.fusing import Fused, functional, patterns
from porter.analysis.flow import Term, opened, same
from porter.analysis.terms import called, dotted, number, products, quotient, sums
from porter.rules.rule import Rule
from porter.unit import Found, Unit

_WORDS = frozenset({"sigmoid", "erf", "tanh"})

RULE = Rule(
    "DP505",
    "fused-activation",
    __doc__,
    words=tuple(sorted(_WORDS)),
    targets=frozenset({"npu"}),
    analysis="affinity",
)


@RULE.on(ast.Module)
def fuse(node: ast.Module, unit: Unit) -> Iterator[Found]:
    yield from patterns(RULE, unit, _matched, (ast.BinOp, ast.Call), ("npu_fast_gelu",), _WORDS)


def _matched(root: Term) -> Fused | None:
    if isinstance(root.node, ast.Name):
        return None
    modules = functional(root.place.block.function.unit)
    for x, other in products(root):
        found = called(opened(other))
        if found is not None and found.name == "sigmoid" and found.takes_only(0):
            if same(found.tensor, x):
                return Fused("SiLU written out", f"{modules}.silu({{0}})", (x,), needs="torch")
            for number_, inner in products(found.tensor):
                if number(number_) == 1.702 and same(inner, x):
                    return Fused("fast GELU written out", "torch_npu.npu_fast_gelu({0})", (x,))
    return _by_formula(root, modules)


def _by_formula(root: Term, modules: str) -> Fused | None:
    """Half of x times one plus a function of x, however grouped."""
    factors = _factors(root, 3)
    if factors is None or len(factors) != 3:
        return None
    for at, half in enumerate(factors):
        if _value(half) != 0.5:
            continue
        rest = [one for index, one in enumerate(factors) if index != at]
        for x, one_plus in (rest, rest[::-1]):
            for one, function in sums(one_plus):
                if _value(one) == 1 and (kind := _kind(function, x)) is not None:
                    option = ', approximate="tanh"' if kind == "tanh" else ""
                    return Fused("GELU written out", f"{modules}.gelu({{0}}{option})", (x,), needs="torch")
    return None


def _kind(term: Term, x: Term) -> str | None:
    found = called(opened(term))
    if found is None or not found.takes_only(0):
        return None
    if found.name == "erf":
        divided = quotient(found.tensor)
        if divided is not None and _is(divided[1], math.sqrt(2)) and same(divided[0], x):
            return "erf"
        pairs = products(found.tensor)
        return "erf" if any(_is(one, math.sqrt(0.5)) and same(other, x) for one, other in pairs) else None
    if found.name == "tanh":
        for one, inner in products(found.tensor):
            if _is(one, math.sqrt(2 / math.pi)) and _is_cubic(inner, x):
                return "tanh"
    return None


def _is_cubic(term: Term, x: Term) -> bool:
    """`x + 0.044715 * x ** 3`."""
    for one, other in sums(term):
        if same(one, x):
            return any(_is(a, 0.044715) and _is_cube(b, x) for a, b in products(other)) or _is_long(other, x)
    return False


def _is_long(term: Term, x: Term) -> bool:
    """`0.044715 * x * x * x`."""
    factors = _factors(term, 4)
    if factors is None or len(factors) != 4:
        return False
    numbers = [one for one in factors if _is(one, 0.044715)]
    return len(numbers) == 1 and sum(same(one, x) for one in factors) == 3


def _is_cube(term: Term, x: Term) -> bool:
    term = opened(term)
    match term.node:
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return number(term.of(right)) == 3 and same(term.of(left), x)
    found = called(term)
    if found is not None and found.name == "pow" and len(found.args) == 1:
        return number(found.args[0]) == 3 and same(found.tensor, x)
    return False


def _factors(term: Term, most: int) -> list[Term] | None:
    """The factors of a product of products, as far as they are written in one expression."""
    node = term.node
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        parts = [_factors(term.of(side), most) for side in (node.left, node.right)]
        return [one for part in parts for one in part or ()]
    return [term]


def _is(term: Term, wanted: float) -> bool:
    value = _value(term)
    return value is not None and math.isclose(value, wanted, rel_tol=1e-6)


def _value(term: Term) -> float | None:
    """A number of constants, pi and roots: `math.sqrt(2.0 / math.pi)`."""
    term = opened(term)
    if (plain := number(term)) is not None:
        return plain
    match term.node:
        case ast.BinOp(left=left, op=op, right=right):
            one, other = _value(term.of(left)), _value(term.of(right))
            if one is None or other is None:
                return None
            if isinstance(op, ast.Div):
                return one / other if other else None
            return one * other if isinstance(op, ast.Mult) else None
        case ast.Call(func=function, args=[first], keywords=[]):
            inner = _value(term.of(first)) if dotted(term.of(function)) in _ROOTS else None
            return math.sqrt(inner) if inner is not None and inner >= 0 else None
        case ast.Attribute():
            return math.pi if dotted(term) in ("math.pi", "numpy.pi", "torch.pi") else None
        case _:
            return None


_ROOTS = frozenset({"math.sqrt", "numpy.sqrt"})
