"""
# DP504 fused-gated-activation: SwiGLU and GEGLU written out

## What it does

With `--affinity`, reports `silu(gate) * up` and `value * gelu(gate)` of the two halves of one tensor, and
`silu(self.w1(x)) * self.w3(x)` of two linear layers that the class makes alike. `--apply-affinity` writes
`torch_npu.npu_swiglu` (which takes the first half for the gate: where it is the second, nothing is said) and
`torch_npu.npu_geglu` with the kind of GELU that is there: its own default is the one by tanh. Other factors may be
broadcast, and are left alone.

## Why

Written out it is two kernels and one more pass over memory. The results differ by rounding.

## Before

    import torch
    import torch.nn.functional as F


    def feed_forward(x, w1, w2):
        gate, up = (x @ w1).chunk(2, dim=-1)
        return (F.silu(gate) * up) @ w2

## After

    import torch
    import torch_npu
    import torch.nn.functional as F


    def feed_forward(x, w1, w2):
        return (torch_npu.npu_swiglu(x @ w1, dim=-1)) @ w2
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from porter.analysis.affinity.fusing import Fused, patterns
from porter.analysis.flow import Part, Term, opened, part_of, same
from porter.analysis.terms import called, dotted, number, products
from porter.rules.rule import Rule
from porter.unit import Found, Unit

_WORDS = frozenset({"silu", "SiLU", "gelu", "GELU"})

RULE = Rule(
    "DP504",
    "fused-gated-activation",
    __doc__,
    words=tuple(sorted(_WORDS)),
    targets=frozenset({"npu"}),
    analysis="affinity",
)


class _Activated(NamedTuple):
    """`silu(x)` or `gelu(x)`; `kind` is "silu", "gelu" or "gelu by tanh"."""

    kind: str
    of: Term


@RULE.on(ast.Module)
def fuse(node: ast.Module, unit: Unit) -> Iterator[Found]:
    yield from patterns(RULE, unit, _matched, (ast.BinOp, ast.Call), ("npu_swiglu", "npu_geglu"), _WORDS)


def _matched(root: Term) -> Fused | None:
    if isinstance(root.node, ast.Name):
        return None
    for one, value in products(root):
        activated = _activated(one)
        if activated is None:
            continue
        gate, up = part_of(activated.of), part_of(value)
        if gate is not None and up is not None:
            return _of_halves(activated.kind, gate, up)
        if activated.kind == "silu" and _are_alike(activated.of, value):
            call = "torch_npu.npu_swiglu(torch.cat(({0}, {1}), dim=-1), dim=-1)"
            return Fused("SwiGLU written out", call, (activated.of, value))
    return None


def _of_halves(kind: str, gate: Part, up: Part) -> Fused | None:
    halves = called(opened(gate.whole))
    if halves is None or halves.name != "chunk" or not halves.takes_only(2, "chunks", "dim"):
        return None
    count = halves.argument(0, "chunks")
    if count is None or number(count) != 2 or not same(gate.whole, up.whole) or {gate.position, up.position} != {0, 1}:
        return None
    dim = halves.argument(1, "dim")
    value = number(dim) if dim is not None else 0
    if value is None:
        return None
    along = f"dim={int(value)}"
    if kind == "silu":
        if gate.position != 0:
            return None
        return Fused("SwiGLU written out", f"torch_npu.npu_swiglu({{0}}, {along})", (halves.tensor,))
    option = f"{along}, approximate={int(kind != 'gelu')}" + (", activate_left=True" if gate.position == 0 else "")
    return Fused("GEGLU written out", f"torch_npu.npu_geglu({{0}}, {option})[0]", (halves.tensor,))


def _activated(term: Term) -> _Activated | None:
    term = opened(term)
    found = called(term)
    if found is not None and found.name == "silu" and found.takes_only(0):
        return _Activated("silu", found.tensor)
    if found is not None and found.name == "gelu" and found.takes_only(0, "approximate"):
        return _gelu(found.tensor, found.keywords.get("approximate"))
    match term.node:  # self.act(x), where the class makes it
        case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=name), args=[argument], keywords=[]):
            made = term.place.block.function.attributes.get(name, [])
            return _made(made[0], term, term.of(argument)) if len(made) == 1 else None
        case _:
            return None


def _made(maker: ast.expr, term: Term, argument: Term) -> _Activated | None:
    if not isinstance(maker, ast.Call) or maker.args:
        return None
    name = dotted(term.of(maker.func))
    if name == "torch.nn.SiLU":
        return _Activated("silu", argument)
    if name == "torch.nn.GELU":
        return _gelu(argument, next((term.of(one.value) for one in maker.keywords if one.arg == "approximate"), None))
    return None


def _gelu(argument: Term, approximate: Term | None) -> _Activated | None:
    text: object = "none"
    if approximate is not None:
        text = approximate.node.value if isinstance(approximate.node, ast.Constant) else None
    if text not in ("none", "tanh"):
        return None
    return _Activated("gelu" if text == "none" else "gelu by tanh", argument)


def _are_alike(gate: Term, up: Term) -> bool:
    """`self.w1(x)` and `self.w3(x)`: linear layers of the class, with the same number of features."""
    one, other = _layer(gate), _layer(up)
    if one is None or other is None or not same(one[1], other[1]):
        return False
    return ast.dump(one[0]) == ast.dump(other[0])


def _layer(term: Term) -> tuple[ast.expr, Term] | None:
    """The features out of a layer, as `__init__` writes them, and what it is called with."""
    shown = opened(term)
    match shown.node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=name), args=[argument], keywords=[]):
            made = shown.place.block.function.attributes.get(name, [])
        case _:
            return None
    match made:
        case [ast.Call(func=function, args=[_, features, *_])] if dotted(shown.of(function)) == "torch.nn.Linear":
            return features, shown.of(argument)
        case _:
            return None
