"""The operators as kernels of Triton: each reads its tokens once and writes them once.

A program computes some rows of one width, all of a row at once: the channels of a token, or of one head.
"""

# A kernel is written in Triton's language, whose values have no types of Python's.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

from __future__ import annotations

import contextlib
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from diffsynth.core.fused import plain

# What differs from call to call: a kernel that was compiled for one number of tokens serves any other.
_VARYING = ("rows", "length")
# Numbers that a program holds: enough to keep the memory busy, few enough for the registers.
_NUMBERS = 4096


def modulated(tokens: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
    result: Tensor = _Modulated.apply(tokens, shift, scale, eps)  # type: ignore[no-untyped-call]
    return result


def gated(tokens: Tensor, update: Tensor, gate: Tensor) -> Tensor:
    result: Tensor = _Gated.apply(tokens, update, gate)  # type: ignore[no-untyped-call]
    return result


def normed_and_activated(frames: Tensor, weight: Tensor, eps: float) -> Tensor:
    if torch.is_grad_enabled() and (frames.requires_grad or weight.requires_grad):
        return plain.normed_and_activated(frames, weight, eps)
    frames, weight = frames.contiguous(), weight.contiguous()
    out = torch.empty_like(frames)
    width = weight.shape[0]
    _launch(_normed_and_activated, frames, width, frames, weight, out, frames.numel() // width, width, eps)
    return out


def normed_and_rotated(tokens: Tensor, weight: Tensor, eps: float, head_dim: int, cos: Tensor, sin: Tensor) -> Tensor:
    result: Tensor = _NormedAndRotated.apply(tokens, weight, eps, head_dim, cos, sin)  # type: ignore[no-untyped-call]
    return result


def rms_normed(tokens: Tensor, gain: Tensor, eps: float) -> Tensor:
    if _differentiable(tokens, gain):
        return plain.rms_normed(tokens, gain, eps)
    return _rms_norm(tokens, None, gain, eps)


def added_rms_normed(tokens: Tensor, update: Tensor, gain: Tensor, eps: float) -> Tensor:
    if _differentiable(tokens, update, gain):
        return plain.added_rms_normed(tokens, update, gain, eps)
    return _rms_norm(update, tokens.contiguous(), gain, eps)


def _rms_norm(tokens: Tensor, added: Tensor | None, gain: Tensor, eps: float) -> Tensor:
    tokens, gain = tokens.contiguous(), _rows_dense(gain)
    out = torch.empty_like(tokens if added is None else added)
    _, length, width = tokens.shape
    stride = gain.stride(0) if gain.ndim == 2 else 0
    arguments = (tokens, tokens if added is None else added, gain, out, stride)
    _launch(_rms_normed, tokens, width, *arguments, tokens.numel() // width, length, width, eps, added is not None)
    return out


def swiglu(gate: Tensor, values: Tensor) -> Tensor:
    if _differentiable(gate, values):
        return plain.swiglu(gate, values)
    gate, values = gate.contiguous(), values.contiguous()
    out, width = torch.empty_like(gate), gate.shape[-1]
    _launch(_swiglu, gate, width, gate, values, out, gate.numel() // width, width)
    return out


def _differentiable(*given: Tensor) -> bool:
    return torch.is_grad_enabled() and any(each.requires_grad for each in given)


class _Modulated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tokens: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
        tokens, shift, scale = tokens.contiguous(), _rows_dense(shift), _rows_dense(scale)
        ctx.save_for_backward(tokens, scale)
        ctx.eps, ctx.shift_dtype = eps, shift.dtype
        out = torch.empty_like(tokens)
        _, length, width = tokens.shape
        arguments = (tokens, scale, shift, out, scale.stride(0), shift.stride(0))
        _launch(_modulated, tokens, width, *arguments, tokens.numel() // width, length, width, eps)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        tokens, scale = ctx.saved_tensors
        gradient = gradient.contiguous()
        _, length, width = tokens.shape
        of_tokens = of_shift = of_scale = None
        if ctx.needs_input_grad[0]:
            of_tokens = torch.empty_like(tokens)
            arguments = (tokens, scale, gradient, of_tokens, scale.stride(0))
            _launch(_modulated_back, tokens, width, *arguments, tokens.numel() // width, length, width, ctx.eps)
        if ctx.needs_input_grad[1]:
            of_shift = gradient.sum(1, dtype=torch.float32).to(ctx.shift_dtype)
        if ctx.needs_input_grad[2]:
            normed = torch.nn.functional.layer_norm(tokens.float(), (width,), eps=ctx.eps)
            of_scale = normed.mul_(gradient).sum(1).to(scale.dtype)
        return of_tokens, of_shift, of_scale, None


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tokens: Tensor, update: Tensor, gate: Tensor) -> Tensor:
        tokens, update, gate = tokens.contiguous(), update.contiguous(), _rows_dense(gate)
        ctx.save_for_backward(update if ctx.needs_input_grad[2] else None, gate)
        ctx.update_dtype = update.dtype
        out = torch.empty_like(tokens)
        _, length, width = tokens.shape
        arguments = (tokens, update, gate, out, gate.stride(0))
        _launch(_gated, tokens, width, *arguments, tokens.numel() // width, length, width)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        update, gate = ctx.saved_tensors
        of_update = of_gate = None
        if ctx.needs_input_grad[1]:
            of_update = (gradient * gate.unsqueeze(1)).to(ctx.update_dtype)
        if ctx.needs_input_grad[2]:
            of_gate = (gradient.float() * update).sum(1).to(gate.dtype)
        return gradient, of_update, of_gate


class _NormedAndRotated(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, tokens: Tensor, weight: Tensor, eps: float, head_dim: int, cos: Tensor, sin: Tensor
    ) -> Tensor:
        tokens, cos, sin = tokens.contiguous(), cos.contiguous(), sin.contiguous()
        ctx.save_for_backward(tokens, weight, cos, sin)
        ctx.eps, ctx.head_dim = eps, head_dim
        out = torch.empty_like(tokens)
        _launch_rotary(_normed_and_rotated, tokens, weight, cos, sin, (out,), head_dim, eps)
        return torch.unflatten(out, -1, (-1, head_dim))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        tokens, weight, cos, sin = ctx.saved_tensors
        gradient = gradient.contiguous()
        of_tokens = of_weight = None
        if ctx.needs_input_grad[0]:
            of_tokens = torch.empty_like(tokens)
            _launch_rotary(
                _normed_and_rotated_back, tokens, weight, cos, sin, (gradient, of_tokens), ctx.head_dim, ctx.eps
            )
        if ctx.needs_input_grad[1]:
            turned_back = plain.rotated(gradient.float(), cos, -sin).view(-1, weight.shape[0])
            normed = torch.nn.functional.rms_norm(tokens.view(turned_back.shape).float(), weight.shape, eps=ctx.eps)
            of_weight = normed.mul_(turned_back).sum(0).to(weight.dtype)
        return of_tokens, of_weight, None, None, None, None


def _launch_rotary(
    kernel: Any,
    tokens: Tensor,
    weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    others: tuple[Tensor, ...],
    head_dim: int,
    eps: float,
) -> None:
    width = weight.shape[0]
    rows_of_token = tokens.shape[-1] // width
    rows = tokens.numel() // width
    _launch(kernel, tokens, width, tokens, weight, cos, sin, *others, rows, rows_of_token, tokens.shape[1], width,
            head_dim, eps)  # fmt: skip


def _launch(kernel: Any, tokens: Tensor, width: int, *arguments: object) -> None:
    """Starts as many programs as there are rows for, on the tokens' device."""
    across = triton.next_power_of_2(width)
    at_once = max(1, _NUMBERS // across)
    rows = tokens.numel() // width
    if not rows:
        return
    with torch.cuda.device(tokens.device) if tokens.is_cuda else contextlib.nullcontext():
        kernel[(triton.cdiv(rows, at_once),)](*arguments, ROWS=at_once, ACROSS=across, num_warps=8)


def _rows_dense(values: Tensor) -> Tensor:
    """(B, dim) in which the channels of a row are neighbours."""
    return values if values.stride(-1) == 1 else values.contiguous()


@triton.jit
def _place(rows, width, ROWS: tl.constexpr, ACROSS: tl.constexpr):
    """The rows of this program, the channels, and which of them there are."""
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]).to(tl.int64)
    channel = tl.arange(0, ACROSS)[None, :]
    return row, channel, (row < rows) & (channel < width)


@triton.jit
def _standardised(values, inside, width, eps):
    """Each row less its mean, over its standard deviation; and one over that."""
    mean = tl.sum(values, axis=1)[:, None] / width
    centred = tl.where(inside, values - mean, 0.0)
    inverse = tl.rsqrt(tl.sum(centred * centred, axis=1)[:, None] / width + eps)
    return centred * inverse, inverse


@triton.jit(do_not_specialize=_VARYING)
def _modulated(
    tokens, scale, shift, out, scale_stride, shift_stride, rows, length, width, eps,
    ROWS: tl.constexpr, ACROSS: tl.constexpr,
):  # fmt: skip
    row, channel, inside = _place(rows, width, ROWS, ACROSS)
    values = tl.load(tokens + row * width + channel, mask=inside, other=0.0).to(tl.float32)
    normed, _ = _standardised(values, inside, width, eps)
    sample = row // length
    gain = 1.0 + tl.load(scale + sample * scale_stride + channel, mask=inside, other=0.0).to(tl.float32)
    bias = tl.load(shift + sample * shift_stride + channel, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * width + channel, (normed * gain + bias).to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=_VARYING)
def _modulated_back(
    tokens, scale, gradient, out, scale_stride, rows, length, width, eps,
    ROWS: tl.constexpr, ACROSS: tl.constexpr,
):  # fmt: skip
    row, channel, inside = _place(rows, width, ROWS, ACROSS)
    values = tl.load(tokens + row * width + channel, mask=inside, other=0.0).to(tl.float32)
    normed, inverse = _standardised(values, inside, width, eps)
    gain = 1.0 + tl.load(scale + row // length * scale_stride + channel, mask=inside, other=0.0).to(tl.float32)
    of_normed = tl.load(gradient + row * width + channel, mask=inside, other=0.0).to(tl.float32) * gain
    common = tl.sum(of_normed, axis=1)[:, None] / width
    along = tl.sum(of_normed * normed, axis=1)[:, None] / width
    result = (of_normed - common - normed * along) * inverse
    tl.store(out + row * width + channel, result.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=_VARYING)
def _gated(
    tokens, update, gate, out, gate_stride, rows, length, width,
    ROWS: tl.constexpr, ACROSS: tl.constexpr,
):  # fmt: skip
    row, channel, inside = _place(rows, width, ROWS, ACROSS)
    values = tl.load(tokens + row * width + channel, mask=inside, other=0.0).to(tl.float32)
    change = tl.load(update + row * width + channel, mask=inside, other=0.0).to(tl.float32)
    factor = tl.load(gate + row // length * gate_stride + channel, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * width + channel, (values + change * factor).to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=("rows",))
def _normed_and_activated(
    frames, weight, out, rows, width, eps,
    ROWS: tl.constexpr, ACROSS: tl.constexpr,
):  # fmt: skip
    row, channel, inside = _place(rows, width, ROWS, ACROSS)
    values = tl.load(frames + row * width + channel, mask=inside, other=0.0).to(tl.float32)
    inverse = tl.rsqrt(tl.sum(values * values, axis=1)[:, None] / width + eps)
    gain = tl.load(weight + channel, mask=channel < width, other=0.0).to(tl.float32)
    normed = values * inverse * gain
    tl.store(out + row * width + channel, (normed * tl.sigmoid(normed)).to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=_VARYING)
def _rms_normed(
    tokens, added, gain, out, gain_stride, rows, length, width, eps, ADDS: tl.constexpr,
    ROWS: tl.constexpr, ACROSS: tl.constexpr,
):  # fmt: skip
    row, channel, inside = _place(rows, width, ROWS, ACROSS)
    values = tl.load(tokens + row * width + channel, mask=inside, other=0.0).to(tl.float32)
    inverse = tl.rsqrt(tl.sum(values * values, axis=1)[:, None] / width + eps)
    factor = tl.load(gain + row // length * gain_stride + channel, mask=inside, other=0.0).to(tl.float32)
    result = values * inverse * factor
    if ADDS:
        result += tl.load(added + row * width + channel, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * width + channel, result.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=("rows",))
def _swiglu(
    gate, values, out, rows, width,
    ROWS: tl.constexpr, ACROSS: tl.constexpr,
):  # fmt: skip
    row, channel, inside = _place(rows, width, ROWS, ACROSS)
    given = tl.load(gate + row * width + channel, mask=inside, other=0.0).to(tl.float32)
    factor = tl.load(values + row * width + channel, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * width + channel, (given * tl.sigmoid(given) * factor).to(out.dtype.element_ty), mask=inside)


@triton.jit
def _angles(cos, sin, row, channel, inside, rows_of_token, length, head_dim):
    """The cosine of each channel, and its sine with the sign that the channel's neighbour has in its turned value."""
    token = (row // rows_of_token) % length
    of_head = channel % head_dim
    cosine = tl.load(cos + token * head_dim + of_head, mask=inside, other=0.0)
    sine = tl.load(sin + token * head_dim + of_head, mask=inside, other=0.0)
    return cosine, tl.where(channel % 2 == 0, -sine, sine)


@triton.jit(do_not_specialize=_VARYING)
def _normed_and_rotated(
    tokens, weight, cos, sin, out, rows, rows_of_token, length, width, head_dim, eps,
    ROWS: tl.constexpr, ACROSS: tl.constexpr,
):  # fmt: skip
    row, channel, inside = _place(rows, width, ROWS, ACROSS)
    neighbour = channel ^ 1  # the other of its pair
    values = tl.load(tokens + row * width + channel, mask=inside, other=0.0).to(tl.float32)
    others = tl.load(tokens + row * width + neighbour, mask=inside, other=0.0).to(tl.float32)
    inverse = tl.rsqrt(tl.sum(values * values, axis=1)[:, None] / width + eps)
    gain = tl.load(weight + channel, mask=channel < width, other=0.0).to(tl.float32)
    gain_of_other = tl.load(weight + neighbour, mask=channel < width, other=0.0).to(tl.float32)
    cosine, sine = _angles(cos, sin, row, channel, inside, rows_of_token, length, head_dim)
    result = (values * gain * cosine + others * gain_of_other * sine) * inverse
    tl.store(out + row * width + channel, result.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=_VARYING)
def _normed_and_rotated_back(
    tokens, weight, cos, sin, gradient, out, rows, rows_of_token, length, width, head_dim, eps,
    ROWS: tl.constexpr, ACROSS: tl.constexpr,
):  # fmt: skip
    row, channel, inside = _place(rows, width, ROWS, ACROSS)
    values = tl.load(tokens + row * width + channel, mask=inside, other=0.0).to(tl.float32)
    inverse = tl.rsqrt(tl.sum(values * values, axis=1)[:, None] / width + eps)
    own = tl.load(gradient + row * width + channel, mask=inside, other=0.0).to(tl.float32)
    others = tl.load(gradient + row * width + (channel ^ 1), mask=inside, other=0.0).to(tl.float32)
    cosine, sine = _angles(cos, sin, row, channel, inside, rows_of_token, length, head_dim)
    gain = tl.load(weight + channel, mask=channel < width, other=0.0).to(tl.float32)
    of_normed = (own * cosine - others * sine) * gain  # turned back
    normed = values * inverse
    along = tl.sum(of_normed * normed, axis=1)[:, None] / width
    tl.store(
        out + row * width + channel, ((of_normed - normed * along) * inverse).to(out.dtype.element_ty), mask=inside
    )
