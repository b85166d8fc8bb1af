"""Rotary position embedding: npu_rotary_mul and its relatives."""

from __future__ import annotations

import torch
from torch import Tensor

from npu_emulator.operators.limits import (
    FLOATS,
    HALVES,
    dimensions,
    limit,
    newest_line,
    one_of,
    refuse,
    require,
    same_type,
    types,
)
from npu_emulator.operators.precision import wide
from npu_emulator.operators.registry import derivative, kernel

MODES = ("half", "interleave", "quarter", "interleave-half")


def turn(x: Tensor, mode: str) -> Tensor:
    """What the sines multiply: each pair of features turned by a right angle."""
    if mode == "half":
        first, second = x.chunk(2, -1)
        return torch.cat((-second, first), -1)
    if mode == "quarter":
        return torch.cat([turn(part, "half") for part in x.chunk(2, -1)], -1)
    return torch.stack((-x[..., 1::2], x[..., ::2]), -1).flatten(-2)


def gather_pairs(x: Tensor) -> Tensor:
    """Even features first, then the odd ones."""
    return torch.cat((x[..., ::2], x[..., 1::2]), -1)


def _scatter_pairs(x: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return torch.stack((first, second), -1).flatten(-2)


def rotated(x: Tensor, cos: Tensor, sin: Tensor, mode: str, rotate: Tensor | None = None) -> Tensor:
    """x * cos + turned x * sin, in float32."""
    x, cos, sin = wide(x), wide(cos), wide(sin)
    if mode == "interleave-half":
        x, mode = gather_pairs(x), "half"
    turned = turn(x, mode) if rotate is None else x @ wide(rotate)
    return x * cos + turned * sin


def _check(x: Tensor, r1: Tensor, r2: Tensor, mode: str, rotate: Tensor | None) -> None:
    name = "npu_rotary_mul"
    types(name, FLOATS, self=x, r1=r1, r2=r2, rotate=rotate)
    dimensions(name, 3, 4, self=x, r1=r1, r2=r2)
    one_of(name, "rotary_mode", mode, MODES)
    limit(newest_line() or mode in MODES[:2], name, "rotary_mode", repr(mode), "'half' or 'interleave'")
    parts = 4 if mode == "quarter" else 2
    require(x.shape[-1] % parts == 0, name, "the last dimension of self", x.shape[-1], f"a multiple of {parts}")
    widest = 1024 if newest_line() else 895
    limit(x.shape[-1] <= widest, name, "the last dimension of self", x.shape[-1], f"at most {widest}")
    require(r1.shape == r2.shape, name, "r2", list(r2.shape), f"the shape of r1, {list(r1.shape)}")
    fits = r1.dim() == x.dim() and all(r in (1, n) for r, n in zip(r1.shape, x.shape, strict=True))
    require(fits and r1.shape[-1] == x.shape[-1], name, "r1", list(r1.shape), f"broadcastable to {list(x.shape)}")
    if rotate is not None:
        limit(not newest_line(), name, "rotate", "given", "None")
        require(list(rotate.shape) == [x.shape[-1]] * 2, name, "rotate", list(rotate.shape), "[D, D]")


@kernel("npu_rotary_mul")
def rotary_mul(self: Tensor, r1: Tensor, r2: Tensor, rotary_mode: str = "half", rotate: Tensor | None = None) -> Tensor:
    """[B, N, S, D], [B, S, N, D], [S, B, N, D] or [T, N, D], turned by the cosines r1 and sines r2."""
    _check(self, r1, r2, rotary_mode, rotate)
    return rotated(self, r1, r2, rotary_mode, rotate).to(self.dtype)


@kernel("npu_rotary_mul_backward")
def rotary_mul_backward(
    grad: Tensor, self: Tensor, r1: Tensor, r2: Tensor, rotary_mode: str = "half"
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of self, r1 and r2."""
    _check(self, r1, r2, rotary_mode, None)
    grad_wide, x, cos, sin = wide(grad), wide(self), wide(r1), wide(r2)
    scattered = rotary_mode == "interleave-half"
    mode = "half" if scattered else rotary_mode
    x = gather_pairs(x) if scattered else x
    # Turning by a right angle is undone by turning back, which is its negative.
    grad_x = grad_wide * cos - turn(grad_wide * sin, mode)
    grad_x = _scatter_pairs(grad_x) if scattered else grad_x
    grad_cos, grad_sin = (grad_wide * x).sum_to_size(r1.shape), (grad_wide * turn(x, mode)).sum_to_size(r2.shape)
    return grad_x.to(self.dtype), grad_cos.to(r1.dtype), grad_sin.to(r2.dtype)


@derivative("npu_rotary_mul", of="self r1 r2")
def _rotary_mul(
    grad: Tensor, self: Tensor, r1: Tensor, r2: Tensor, rotary_mode: str, rotate: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    if rotate is not None:
        raise RuntimeError("npu_rotary_mul: no gradient where rotate is given; leave it out for training")
    gradients: tuple[Tensor, Tensor, Tensor] = torch.ops.npu.npu_rotary_mul_backward(grad, self, r1, r2, rotary_mode)
    return gradients


@kernel("npu_apply_rotary_pos_emb")
def apply_rotary_pos_emb(
    query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, layout: str = "BSND", rotary_mode: str = "half"
) -> tuple[Tensor, Tensor]:
    """Query and key, [B, S, N, D], [S, B, N, D], [B, N, S, D] or [T, N, D], turned alike."""
    name = "npu_apply_rotary_pos_emb"
    types(name, FLOATS, query=query, key=key, cos=cos, sin=sin)
    same_type(name, query=query, key=key, cos=cos, sin=sin)
    one_of(name, "layout", layout, ("BSND", "SBND", "BNSD", "TND"))
    one_of(name, "rotary_mode", rotary_mode, ("half", "interleave", "quarter"))
    query_out, key_out = (rotated(x, cos, sin, rotary_mode).to(x.dtype) for x in (query, key))
    return query_out, key_out


@kernel("npu_interleave_rope")
def interleave_rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """[B, N, S, 64]: pairs are gathered into halves, then turned; cos and sin are [B, 1, S or 1, 64]."""
    name = "npu_interleave_rope"
    types(name, FLOATS if newest_line() else HALVES, x=x, cos=cos, sin=sin)
    same_type(name, x=x, cos=cos, sin=sin)
    dimensions(name, 4, 4, x=x, cos=cos, sin=sin)
    limit(x.shape[-1] == 64, name, "the last dimension of x", x.shape[-1], 64)
    limit(cos.shape[1] == 1, name, "the second dimension of cos", cos.shape[1], 1)
    require(cos.shape == sin.shape, name, "sin", list(sin.shape), f"the shape of cos, {list(cos.shape)}")
    return rotated(x, cos, sin, "interleave-half").to(x.dtype)


def _mix_sections(table: Tensor, section: list[int], cache_mode: str) -> Tensor:
    """[sections, tokens, half] as [tokens, half]: each feature from the position of its section."""
    if cache_mode == "default":
        parts = torch.split(table, section, dim=-1)
        return torch.cat([part[index] for index, part in enumerate(parts)], -1)
    mixed = table[0].clone()
    for index in (1, 2):
        mixed[..., index : section[1] * 3 : 3] = table[index, ..., index : section[1] * 3 : 3]
    return mixed


@kernel("npu_mrope")
def mrope(
    positions: Tensor,
    query: Tensor,
    key: Tensor,
    cos_sin_cache: Tensor,
    head_size: int,
    *,
    mrope_section: list[int] | None = None,
    rotary_mode: str | None = "half",
    cache_mode: str | None = "default",
) -> tuple[Tensor, Tensor]:
    """Query and key, [tokens, heads * head_size], turned by rows ``positions`` of [length, rotary_dim]."""
    name = "npu_mrope"
    types(name, FLOATS, query=query, key=key, cos_sin_cache=cos_sin_cache)
    same_type(name, query=query, key=key, cos_sin_cache=cos_sin_cache)
    types(name, (torch.int32, torch.int64), positions=positions)
    one_of(name, "rotary_mode", rotary_mode, ("half", "interleaved"))
    one_of(name, "cache_mode", cache_mode, ("default", "interleave"))
    rotary_dim = cos_sin_cache.shape[-1]
    require(rotary_dim <= head_size, name, "the width of cos_sin_cache", rotary_dim, f"at most head_size, {head_size}")
    step = 16 if query.dtype == torch.float32 else 32
    for parameter, width in (("head_size", head_size), ("the width of cos_sin_cache", rotary_dim)):
        limit(width % step == 0, name, parameter, width, f"a multiple of {step}")
    section = [] if mrope_section is None or not any(mrope_section) else list(mrope_section)
    if section:
        require(sum(section) * 2 == rotary_dim, name, "mrope_section", section, f"a sum of {rotary_dim // 2}")
        require(
            positions.shape[0] == len(section), name, "positions", list(positions.shape), f"[{len(section)}, tokens]"
        )
        if cache_mode == "interleave" and len(section) != 3:
            refuse(name, "cache_mode", "'interleave'", "'default' where mrope_section has four parts")
    else:
        require(positions.dim() == 1, name, "positions", list(positions.shape), "[tokens] without mrope_section")
    cos, sin = wide(cos_sin_cache)[positions.long()].chunk(2, -1)
    if section:
        cos, sin = (_mix_sections(table, section, str(cache_mode)) for table in (cos, sin))
    mode = "half" if rotary_mode == "half" else "interleave"
    cos, sin = (
        torch.cat((table, table), -1) if mode == "half" else table.repeat_interleave(2, -1) for table in (cos, sin)
    )

    def turned(x: Tensor) -> Tensor:
        heads = x.view(x.shape[0], -1, head_size)
        front = rotated(heads[..., :rotary_dim], cos[:, None], sin[:, None], mode).to(x.dtype)
        return torch.cat((front, heads[..., rotary_dim:]), -1).view(x.shape)

    return turned(query), turned(key)
