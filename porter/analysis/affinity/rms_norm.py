"""
# DP501 fused-rms-norm: root mean square normalization written out

## What it does

With `--affinity`, reports `x * rsqrt(mean(x ** 2) + eps) * weight` in all its spellings: over several statements, with
a method of the class for a part of it, with the usual detour through float32 and back. `--apply-affinity` writes
`torch_npu.npu_rms_norm`. A mean over another dimension, `1 + weight`, an epsilon outside of the root, a result that
stays in float32 and a weight that is not a vector are something else and left alone.

## Why

Written out it is six kernels and as many passes over memory; fused it is one, which keeps float32 within. The results
differ by rounding. The fused result has the type of `x`, also where the weight is of a wider one.

## Before

    import torch


    class RMSNorm(torch.nn.Module):
        def __init__(self, dim, eps=1e-6):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(dim))
            self.eps = eps

        def forward(self, x):
            dtype = x.dtype
            x = x.to(torch.float32)
            variance = x.pow(2).mean(-1, keepdim=True)
            x = x * torch.rsqrt(variance + self.eps)
            return self.weight * x.to(dtype)

## After

    import torch
    import torch_npu


    class RMSNorm(torch.nn.Module):
        def __init__(self, dim, eps=1e-6):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(dim))
            self.eps = eps

        def forward(self, x):
            return torch_npu.npu_rms_norm(x, self.weight, epsilon=self.eps)[0]
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from porter.analysis.affinity.fusing import ROUNDING, Fused, patterns
from porter.analysis.flow import Term, opened, same
from porter.analysis.terms import (
    called,
    cast_like,
    dotted,
    is_true,
    last_dimension,
    number,
    products,
    quotient,
    sums,
    widened,
)
from porter.rules.rule import Rule
from porter.unit import Found, Unit

_NUMBERS = f"{ROUNDING}; the result has the type of {{0}} also beside a wider weight"

#: Names that a parameter of a function goes by which is a norm's weight.
_WEIGHTS = frozenset({"weight", "gamma", "scale", "w", "g"})
_MAKES_A_TENSOR = frozenset("ones zeros empty full rand randn tensor".split())

RULE = Rule(
    "DP501",
    "fused-rms-norm",
    __doc__,
    words=("mean",),
    targets=frozenset({"npu"}),
    analysis="affinity",
)


class _Normalized(NamedTuple):
    """`x / rms(x)`: of what, with which epsilon; whether it is in float32 rather than in the type of `x`."""

    x: Term
    eps: Term
    wide: bool


@RULE.on(ast.Module)
def fuse(node: ast.Module, unit: Unit) -> Iterator[Found]:
    beside = ("npu_rms_norm", "rms_norm", "fused_rms_norm", "FusedRMSNorm")
    yield from patterns(RULE, unit, _matched, (ast.BinOp, ast.Call), beside, frozenset({"mean"}))


def _matched(root: Term) -> Fused | None:
    if isinstance(root.node, ast.Call):  # a cast at the end of it all
        back = cast_like(root)
        weighted = _weighted(back[0], narrowed=True) if back is not None else None
        if weighted is None or back is None or not same(back[1], weighted[0].x):
            return None
    else:
        weighted = _weighted(root)
    if weighted is None:
        return None
    normalized, weight = weighted
    call = "torch_npu.npu_rms_norm({0}, {1}, epsilon={2})[0]"
    terms = (normalized.x, weight, normalized.eps)
    numbers = _NUMBERS.format(ast.unparse(normalized.x.node))
    return Fused("RMS norm written out", call, terms, numbers)


def _weighted(term: Term, narrowed: bool = False) -> tuple[_Normalized, Term] | None:
    """A product of `x`, the reciprocal root, and a weight, however grouped. `narrowed` says that a cast follows."""
    for one, other in products(term):
        if (weight := _weight(other, narrowed)) is not None and (found := _normalized(one)) is not None:
            return _in_type(found, weight, narrowed)
        if (root := _reciprocal_root(one)) is not None:  # rsqrt(...) * (x * w)
            for x, weight_too in products(other):
                if (weight := _weight(weight_too, narrowed)) and (found := _divided(x, root)) is not None:
                    return _in_type(found, weight, narrowed)
    return None


def _in_type(found: _Normalized, weight: Term, narrowed: bool) -> tuple[_Normalized, Term] | None:
    return (found, weight) if narrowed or not found.wide else None


def _normalized(term: Term) -> _Normalized | None:
    if (back := cast_like(term)) is not None:
        found = _normalized(back[0])
        if found is None:
            return None
        is_weight = _is_weight(back[1])
        return found._replace(wide=False) if is_weight or same(back[1], found.x) else None
    for one, other in products(term):
        if (root := _reciprocal_root(other)) is not None:
            return _divided(one, root)
    if (divided := quotient(term)) is not None and (inside := _square_root(divided[1])) is not None:
        return _divided(divided[0], inside)
    return None


def _divided(x: Term, root: Term) -> _Normalized | None:
    """`x` by the root of the mean of its squares plus an epsilon; `root` is what the root is of."""
    for mean, eps in sums(root):
        squares = _mean_of_last(mean)
        if squares is None or not _is_epsilon(eps):
            continue
        base = _squared(squares)
        if base is None:
            continue
        plain, wide_base = _without_widening(base)
        given, wide = _without_widening(x)
        if same(plain, given):
            return _Normalized(given, eps, wide or wide_base)
    return None


def _mean_of_last(term: Term) -> Term | None:
    found = called(opened(term))
    if found is None or found.name != "mean" or not found.takes_only(2, "dim", "axis", "keepdim", "dtype"):
        return None
    keeps = is_true(found.argument(1, "keepdim", "keepdims"))
    return found.tensor if keeps and last_dimension(found, 0) and "dtype" not in found.keywords else None


def _squared(term: Term) -> Term | None:
    term = opened(term)
    match term.node:
        case ast.BinOp(left=left, op=ast.Pow(), right=right) if number(term.of(right)) == 2:
            return term.of(left)
    for one, other in products(term):
        return one if same(one, other) else None
    found = called(term)
    if found and found.name == "square" and found.takes_only(0):
        return found.tensor
    if found and found.name == "pow" and found.takes_only(1, "exponent"):
        exponent = found.argument(0, "exponent")
        return found.tensor if exponent is not None and number(exponent) == 2 else None
    return None


def _reciprocal_root(term: Term) -> Term | None:
    """What the root is of: `rsqrt(y)`, `1 / sqrt(y)`, `y ** -0.5`."""
    term = opened(term)
    found = called(term)
    if found and found.name == "rsqrt" and found.takes_only(0):
        return found.tensor
    if found and found.name == "pow" and len(found.args) == 1 and number(found.args[0]) == -0.5:
        return found.tensor
    match term.node:
        case ast.BinOp(left=left, op=ast.Pow(), right=right) if number(term.of(right)) == -0.5:
            return term.of(left)
    if (divided := quotient(term)) is not None and number(divided[0]) == 1:
        return _square_root(divided[1])
    return None


def _square_root(term: Term) -> Term | None:
    term = opened(term)
    found = called(term)
    if found and found.name == "sqrt" and found.takes_only(0):
        return found.tensor
    match term.node:
        case ast.BinOp(left=left, op=ast.Pow(), right=right) if number(term.of(right)) == 0.5:
            return term.of(left)
    return None


def _without_widening(term: Term) -> tuple[Term, bool]:
    inner = widened(term)
    return (inner, True) if inner is not None else (term, False)


def _is_epsilon(term: Term) -> bool:
    """A number, or a name that is no tensor's: `self.eps`, `variance_epsilon`."""
    if number(term) is not None:
        return True
    node = term.node
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return "eps" in name.lower()


def _weight(term: Term, narrowed: bool) -> Term | None:
    """The weight, if the term is one; where a cast follows, it may be turned into float32."""
    if narrowed and (inner := widened(term)) is not None:
        term = inner
    return term if _is_weight(term) else None


def _is_weight(term: Term) -> bool:
    """Whether it is a vector: a parameter of the module that is made as one, or of the function by a usual name."""
    node = term.node
    match node:
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            made = term.place.block.function.attributes.get(name, [])
            return bool(made) and all(_makes_a_vector(one, term) for one in made)
        case ast.Name(id=name):
            return name in _WEIGHTS and name in term.place.block.function.parameters
        case _:
            return False


def _makes_a_vector(node: ast.expr, term: Term) -> bool:
    match node:
        case ast.Call(func=function, args=[made, *_]) if (dotted(term.of(function)) or "").endswith("nn.Parameter"):
            pass
        case ast.Constant(value=None):
            return True
        case _:
            return False
    found = called(term.of(made))
    if found is None or found.name not in _MAKES_A_TENSOR:
        return False
    if found.name == "full":
        return isinstance(found.tensor.node, ast.Tuple) and len(found.tensor.node.elts) == 1
    size = found.tensor.node
    return not found.args and (not isinstance(size, ast.Tuple | ast.List) or len(size.elts) == 1)
