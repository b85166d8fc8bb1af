"""
# DP503 fused-rotary: rotary position embedding written out

## What it does

With `--affinity`, reports `x * cos + rotate_half(x) * sin`, where the function that turns is in the same file (its body
tells which kind it is, not its name), in the halves' form and in the interleaved one, or written in place.
`--apply-affinity` writes `torch_npu.npu_rotary_mul` where `cos` and `sin` evidently have as many dimensions as `x`,
which the operator wants. A function that turns the other way, a sum that is a difference and different tensors in its
two terms are left alone.

## Why

Written out it is seven kernels, two of which copy; fused it is one. The results differ by rounding. The fused result
has the type of `x`, also where `cos` and `sin` are of a wider one.

## Before

    import torch


    def rotate_half(x):
        x1, x2 = x.chunk(2, dim=-1)
        return torch.cat((-x2, x1), dim=-1)


    def apply_rotary(q, cos, sin):
        cos = cos.unsqueeze(1)
        sin = sin.unsqueeze(1)
        return (q * cos) + (rotate_half(q) * sin)

## After

    import torch
    import torch_npu


    def rotate_half(x):
        x1, x2 = x.chunk(2, dim=-1)
        return torch.cat((-x2, x1), dim=-1)


    def apply_rotary(q, cos, sin):
        cos = cos.unsqueeze(1)
        sin = sin.unsqueeze(1)
        return torch_npu.npu_rotary_mul(q, cos, sin)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.analysis.affinity.fusing import ROUNDING, Fused, patterns
from porter.analysis.flow import Block, FunctionFlow, Place, Term, flows, key, opened, part_of, same
from porter.analysis.terms import called, last_dimension, number, products, sums, widened
from porter.rules.rule import Rule
from porter.unit import Found, Unit

_NUMBERS = f"{ROUNDING}; the result has the type of {{0}}"

#: Where others import the halves' form from.
_KNOWN = frozenset({"transformers.models.llama.modeling_llama.rotate_half"})

RULE = Rule(
    "DP503",
    "fused-rotary",
    __doc__,
    words=("cat", "stack", "rotate_half"),
    targets=frozenset({"npu"}),
    analysis="affinity",
)


@RULE.on(ast.Module)
def fuse(node: ast.Module, unit: Unit) -> Iterator[Found]:
    yield from patterns(RULE, unit, _matched, (ast.BinOp,), ("npu_rotary_mul",), _names_of_sines(unit))


def _names_of_sines(unit: Unit) -> frozenset[str]:
    return frozenset(name for flow in flows(unit) for name in flow.names if "sin" in name.lower())


def _matched(root: Term) -> Fused | None:
    for plain, turned in sums(root):
        for x, cos in products(plain):
            for around, sin in products(turned):
                mode = _turning(around, x)
                if mode is None or same(cos, sin):
                    continue
                dims = all(_has_dimensions(one) for one in (cos, sin))
                blocked = "" if dims else "cos and sin need as many dimensions as what they turn"
                option = "" if mode == "half" else ', rotary_mode="interleave"'
                numbers = _NUMBERS.format(ast.unparse(x.node))
                call = f"torch_npu.npu_rotary_mul({{0}}, {{1}}, {{2}}{option})"
                return Fused("rotary embedding written out", call, (x, cos, sin), numbers, blocked)
    return None


def _turning(term: Term, x: Term) -> str | None:
    """How `x` is turned by a right angle: "half" or "interleave"."""
    if (inner := widened(term)) is not None:
        wide_x = widened(x)
        return _turning(inner, wide_x) if wide_x is not None else None
    opened_term = opened(term)
    match opened_term.node:
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]):
            return _kind_of_function(name, opened_term) if same(opened_term.of(argument), x) else None
    return _kind(opened_term, x)


def _kind_of_function(name: str, term: Term) -> str | None:
    """By the body of the function in this file."""
    unit = term.place.block.function.unit
    if unit.source.names.bound.get(name) in _KNOWN:
        return "half"
    named = [flow for flow in flows(unit) if flow.name == name and flow.owner is None]
    if len(named) != 1 or len(named[0].parameters) != 1:
        return None
    return _kind_returned(named[0])


def _kind_returned(flow: FunctionFlow) -> str | None:
    *_, last = flow.node.body
    if not isinstance(last, ast.Return) or last.value is None:
        return None
    block: Block = next(one for one in flow.blocks if one.statements is flow.node.body)
    parameter = ast.Name(flow.parameters[0], ast.Load())
    return _kind(Term(last.value, Place(block, len(flow.node.body) - 1)), Term(parameter, Place(block, 0)))


def _kind(term: Term, x: Term) -> str | None:
    term = opened(term)
    found = called(term)
    if found is None:
        return None
    if found.name in ("cat", "concat") and found.takes_only(1, "dim", "axis") and last_dimension(found, 0):
        pair = _pair(found.tensor)
        return "half" if pair and _halves(*pair, x) else None
    stacked = _unstacked(term)
    pair = _pair(stacked) if stacked is not None else None
    return "interleave" if pair and _every_second(*pair, x) else None


def _pair(term: Term) -> tuple[Term, Term] | None:
    """`(-b, a)` as a and b."""
    term = opened(term)
    match term.node:
        case (
            ast.Tuple(elts=[ast.UnaryOp(op=ast.USub(), operand=b), a])
            | ast.List(elts=[ast.UnaryOp(op=ast.USub(), operand=b), a])
        ):
            return term.of(a), term.of(b)
        case _:
            return None


def _halves(a: Term, b: Term, x: Term) -> bool:
    one, other = part_of(a), part_of(b)
    if one is not None and other is not None:
        chunks = called(opened(one.whole))
        is_two = chunks is not None and chunks.name == "chunk" and last_dimension(chunks, 1, "dim")
        count = chunks.argument(0, "chunks") if chunks is not None else None
        right = (one.position, other.position) == (0, 1) and same(one.whole, other.whole)
        return bool(chunks and is_two and right and count and number(count) == 2 and same(chunks.tensor, x))
    first, second = _slice_of(a, x), _slice_of(b, x)
    if first is None or second is None or first.lower is not None or second.upper is not None:
        return False
    if first.upper is None or second.lower is None or first.step is not None or second.step is not None:
        return False
    half = opened(a).of(first.upper)
    return key(half) == key(opened(b).of(second.lower)) and _is_half(half, x)


def _is_half(term: Term, x: Term) -> bool:
    """`x.shape[-1] // 2`."""
    term = opened(term)
    match term.node:
        case ast.BinOp(left=left, op=ast.FloorDiv(), right=right) if number(term.of(right)) == 2:
            size = opened(term.of(left))
        case _:
            return False
    match size.node:
        case ast.Subscript(value=ast.Attribute(value=owner, attr="shape"), slice=index):
            return number(size.of(index)) == -1 and same(size.of(owner), x)
        case ast.Call(func=ast.Attribute(value=owner, attr="size"), args=[index]):
            return number(size.of(index)) == -1 and same(size.of(owner), x)
        case _:
            return False


def _every_second(a: Term, b: Term, x: Term) -> bool:
    first, second = _slice_of(a, x), _slice_of(b, x)
    if first is not None and second is not None:
        starts = (_written(first.lower), _written(second.lower))
        steps = (_written(first.step), _written(second.step))
        return starts in ((None, 1), (0, 1)) and steps == (2, 2) and first.upper is None and second.upper is None
    one, other = part_of(a), part_of(b)
    if one is None or other is None or (one.position, other.position) != (0, 1) or not same(one.whole, other.whole):
        return False
    unbound = called(opened(one.whole))
    if unbound is None or unbound.name != "unbind" or not last_dimension(unbound, 0, "dim"):
        return False
    return _in_pairs(unbound.tensor, x)


def _in_pairs(term: Term, x: Term) -> bool:
    """`x.reshape(*x.shape[:-1], -1, 2)`."""
    term = opened(term)
    match term.node:
        case ast.Call(
            func=ast.Attribute(value=owner, attr="reshape" | "view"),
            args=[
                ast.Starred(value=ast.Subscript(value=ast.Attribute(value=sized, attr="shape"), slice=front)),
                middle,
                last,
            ],
        ):
            is_of_x = same(term.of(owner), x) and same(term.of(sized), x)
            in_pairs = [number(term.of(middle)), number(term.of(last))] == [-1, 2]
            return is_of_x and in_pairs and _is_all_but_last(front)
        case _:
            return False


def _is_all_but_last(part: ast.expr) -> bool:
    return isinstance(part, ast.Slice) and part.lower is None and _written(part.upper) == -1


def _unstacked(term: Term) -> Term | None:
    """What is stacked behind the last dimension and flattened again."""
    found = called(term)
    if found is None:
        return None
    inner = None
    if found.name == "flatten" and found.takes_only(2, "start_dim"):
        start = found.argument(0, "start_dim")
        value = number(start) if start is not None else None
        inner = found.tensor if value == -2 or value == 3 else None
    elif found.name in ("reshape", "reshape_as", "view_as") and len(found.args) == 1:
        inner = found.tensor
    elif found.name == "rearrange" or isinstance(term.node, ast.Call):
        match term.node:
            case ast.Call(func=ast.Name(id="rearrange"), args=[first, ast.Constant(value=str() as shape)]):
                same_shape = shape.replace(" ", "") in ("...dj->...(dj)", "...dr->...(dr)", "...ij->...(ij)")
                inner = term.of(first) if same_shape else None
    stacked = called(opened(inner)) if inner is not None else None
    if stacked is None or stacked.name != "stack" or not last_dimension(stacked, 0, "dim"):
        return None
    return stacked.tensor


def _slice_of(term: Term, x: Term) -> ast.Slice | None:
    """The slice of the last dimension of `x[..., a:b:c]`."""
    term = opened(term)
    match term.node:
        case ast.Subscript(value=owner, slice=ast.Tuple(elts=[ast.Constant() as dots, ast.Slice() as found])):
            return found if ast.unparse(dots) == "..." and same(term.of(owner), x) else None
        case _:
            return None


def _written(node: ast.expr | None) -> int | None:
    match node:
        case ast.Constant(value=int() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as value)):
            return -value
        case _:
            return None


def _has_dimensions(term: Term) -> bool:
    """Whether the text itself gives it the dimensions of its other factor: `cos.unsqueeze(1)`, `cos[:, None]`."""
    shown = opened(term)
    match shown.node:
        case ast.Subscript(slice=ast.Tuple(elts=elements)):
            return len(elements) == 4 and all(isinstance(one, ast.Slice | ast.Constant) for one in elements)
        case ast.Call(func=ast.Attribute(value=owner, attr="to" | "float" | "type_as")):
            return _has_dimensions(shown.of(owner))
        case ast.Call(func=ast.Attribute(attr="unsqueeze")):
            return True
        case ast.Call(func=ast.Attribute(attr="view" | "reshape"), args=sizes):
            return len(sizes) == 4
        case _:
            return False
