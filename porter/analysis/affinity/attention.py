"""
# DP502 fused-attention: attention written out

## What it does

With `--affinity`, reports `softmax(q @ k.transpose(-2, -1) * scale + mask) @ v`, however it is split into statements:
scaled by a number, with an added mask or a `masked_fill` by minus infinity. `--apply-affinity` writes
`scaled_dot_product_attention`, which torch_npu carries out by its fused attention. Attention whose weights are used
elsewhere, with dropout, with a learned scale, a mask that is scaled too or a softmax over another dimension is left
alone; a mask of another number than minus infinity is reported only, since a row that is masked whole would differ.

## Why

Written out, the scores of every query with every key go through memory several times. The results differ by rounding,
and by more the larger the scores are.

## Before

    import math
    import torch


    def attend(q, k, v, mask):
        scores = torch.matmul(q, k.transpose(-2, -1)) / math.sqrt(64)
        scores = scores + mask
        weights = torch.softmax(scores, dim=-1)
        return torch.matmul(weights, v)

## After

    import math
    import torch


    def attend(q, k, v, mask):
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1 / (math.sqrt(64)))
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace

from porter.analysis.affinity.fusing import ROUNDING, Fused, functional, patterns
from porter.analysis.flow import Term, opened
from porter.analysis.terms import (
    called,
    cast_like,
    is_float32,
    is_number,
    last_dimension,
    matrix_product,
    number,
    products,
    quotient,
    sums,
)
from porter.rules.rule import Rule
from porter.unit import Found, Unit

_NUMBERS = f"{ROUNDING}, in the halves as much again for each unit of the largest score"

RULE = Rule(
    "DP502",
    "fused-attention",
    __doc__,
    words=("softmax",),
    targets=frozenset({"npu"}),
    analysis="affinity",
)

_BESIDE = (
    "scaled_dot_product_attention",
    "flash_attn_func",
    "flash_attention",
    "memory_efficient_attention",
    "fused_attn",
    "npu_fusion_attention",
)


@dataclass(frozen=True)
class _Scores:
    """What the softmax is of. `scales` are numbers by which it is multiplied, or divided."""

    query: Term
    key: Term
    scales: tuple[tuple[Term, bool], ...] = ()
    mask: Term | None = None
    mask_text: str = ""
    finite: bool = False


@RULE.on(ast.Module)
def fuse(node: ast.Module, unit: Unit) -> Iterator[Found]:
    yield from patterns(RULE, unit, _matched, (ast.BinOp, ast.Call), _BESIDE, frozenset({"softmax"}))


def _matched(root: Term) -> Fused | None:
    product = matrix_product(root) if not isinstance(root.node, ast.Name) else None
    if product is None:
        return None
    weights, value, how = product
    scores_term = _softmax(weights)
    scores = _scores(scores_term, how) if scores_term is not None else None
    if scores_term is None or scores is None:
        return None
    terms = [scores.query, scores.key, value]
    call = f"{functional(root.place.block.function.unit)}.scaled_dot_product_attention({{0}}, {{1}}, {{2}}"
    if scores.mask is not None:
        call += f", attn_mask={scores.mask_text.replace('{mask}', f'{{{len(terms)}}}')}"
        terms.append(scores.mask)
    scale = "1.0"
    for at, (factor, divides) in enumerate(scores.scales):
        place = f"{{{len(terms)}}}"
        terms.append(factor)
        bare = isinstance(factor.node, ast.Name | ast.Attribute | ast.Constant)
        one = place if bare else f"({place})"
        if at:
            scale += f" {'/' if divides else '*'} {one}"
        else:
            scale = f"1 / {one}" if divides else one if len(scores.scales) > 1 else place
    call += f", scale={scale})"
    blocked = "a row that is masked whole comes out otherwise" if scores.finite else ""
    inner = (weights, scores_term)
    return Fused("attention written out", call, tuple(terms), _NUMBERS, blocked, inner, needs="torch")


def _softmax(term: Term) -> Term | None:
    """What the weights are the softmax of, over the last dimension; a detour through float32 has to lead back."""
    back = cast_like(term)
    found = called(opened(back[0] if back is not None else term))
    if found is None or found.name != "softmax" or not found.takes_only(1, "dim", "dtype", "_stacklevel"):
        return None
    dtype = found.argument(1, "dtype")
    if dtype is not None and not (is_float32(dtype) and back is not None):
        return None
    return found.tensor if last_dimension(found, 0, "dim") else None


def _scores(term: Term, how: str) -> _Scores | None:
    term = opened(term)
    product = matrix_product(term)
    if product is not None:
        query, key, _ = product
        transposed = _transposed(key, product[2])
        if transposed is None:
            return None
        return _with_scaled_query(_Scores(query, transposed))
    for one, other in products(term):
        if is_number(other) and (found := _scores(one, how)) is not None and found.mask is None:
            return replace(found, scales=(*found.scales, (other, False)))
    if (divided := quotient(term)) is not None and is_number(divided[1]):
        found = _scores(divided[0], how)
        return replace(found, scales=(*found.scales, (divided[1], True))) if found and found.mask is None else None
    for one, other in sums(term):
        if (found := _scores(one, how)) is not None and found.mask is None and _may_be_mask(other):
            return replace(found, mask=other, mask_text="{mask}")
    return _filled(term, how)


def _filled(term: Term, how: str) -> _Scores | None:
    """`scores.masked_fill(mask == 0, float("-inf"))`: the mask says what is left out."""
    call = called(term)
    if call is None or call.name != "masked_fill" or not call.takes_only(2, "mask", "value"):
        return None
    mask, value = call.argument(0, "mask"), call.argument(1, "value")
    found = _scores(call.tensor, how)
    if found is None or found.mask is not None or mask is None or value is None:
        return None
    finite = not _is_minus_infinity(value)
    shown = opened(mask)
    match shown.node:
        case ast.UnaryOp(op=ast.Invert(), operand=operand):
            return replace(found, mask=shown.of(operand), mask_text="{mask}", finite=finite)
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[ast.Constant(value=0)]):
            return replace(found, mask=shown.of(left), mask_text="{mask} != 0", finite=finite)
        case ast.Name() | ast.Attribute() | ast.Subscript() | ast.Call():
            return replace(found, mask=mask, mask_text="~{mask}", finite=finite)
        case ast.Compare():
            return replace(found, mask=mask, mask_text="~({mask})", finite=finite)
        case _:
            return None


def _with_scaled_query(scores: _Scores) -> _Scores:
    """`q = q * scale` is taken into the call, as far as its name still means what it did."""
    opened_query = opened(scores.query)
    if scores.query.node is opened_query.node or opened_query.place.block is not scores.query.place.block:
        return scores
    for one, other in products(opened_query):
        if is_number(other) and isinstance(one.node, ast.Name):
            return replace(scores, query=one, scales=((other, False), *scores.scales))
    return scores


def _transposed(term: Term, how: str) -> Term | None:
    """`k` of `k.transpose(-2, -1)`, `k.mT`, `k.permute(0, 1, 3, 2)`; positive numbers where they say the rank."""
    term = opened(term)
    if isinstance(term.node, ast.Attribute) and term.node.attr == "mT":
        return term.of(term.node.value)
    found = called(term)
    if found is None or found.keywords:
        return None
    numbers = [number(one) for one in found.args]
    if found.name in ("transpose", "swapaxes", "swapdims") and len(numbers) == 2:
        last_two = [{-1, -2}, {2, 3}] if how != "bmm" else [{-1, -2}, {1, 2}]
        return found.tensor if set(numbers) in last_two else None
    is_turned = found.name == "permute" and numbers == ([0, 1, 3, 2] if how != "bmm" else [0, 2, 1])
    return found.tensor if is_turned else None


def _may_be_mask(term: Term) -> bool:
    """A tensor that is added to the scores: something with a name, and not a number."""
    node = opened(term).node
    named = isinstance(term.node, ast.Name | ast.Attribute | ast.Subscript | ast.Call)
    return named and not isinstance(node, ast.Constant) and not is_number(term)


def _is_minus_infinity(term: Term) -> bool:
    text = ast.unparse(opened(term).node).replace('"', "'")
    return text in ("float('-inf')", "-float('inf')", "-math.inf", "-torch.inf", "-np.inf", "-inf", "float('-Inf')")
