"""Activations, gated and plain."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from npu_emulator.operators.limits import FLOATS, dimensions, one_of, require, types
from npu_emulator.operators.precision import wide
from npu_emulator.operators.registry import derivative, kernel


def _halves(x: Tensor, dim: int, operator: str) -> tuple[Tensor, Tensor]:
    require(-x.dim() <= dim < x.dim(), operator, "dim", dim, f"a dimension of {list(x.shape)}")
    require(x.shape[dim] % 2 == 0, operator, f"dimension {dim}", x.shape[dim], "an even size")
    first, second = wide(x).chunk(2, dim)
    return first, second


def _silu_gradient(x: Tensor) -> Tensor:
    sigmoid = torch.sigmoid(x)
    return sigmoid * (1 + x * (1 - sigmoid))


@kernel("npu_swiglu")
def swiglu(self: Tensor, dim: int = -1) -> Tensor:
    """SiLU of the first half along ``dim``, times the second."""
    types("npu_swiglu", FLOATS, self=self)
    dimensions("npu_swiglu", 1, 8, self=self)
    gate, value = _halves(self, dim, "npu_swiglu")
    return (functional.silu(gate) * value).to(self.dtype)


@kernel("npu_swiglu_backward")
def swiglu_backward(grad_output: Tensor, self: Tensor, dim: int = -1) -> Tensor:
    """The gradient of self."""
    gate, value = _halves(self, dim, "npu_swiglu_backward")
    grad = wide(grad_output)
    return torch.cat((grad * value * _silu_gradient(gate), grad * functional.silu(gate)), dim).to(self.dtype)


@derivative("npu_swiglu", of="self")
def _swiglu(grad: Tensor, self: Tensor, dim: int) -> Tensor:
    gradient: Tensor = torch.ops.npu.npu_swiglu_backward(grad, self, dim)
    return gradient


@kernel("npu_clipped_swiglu")
def clipped_swiglu(
    x: Tensor,
    *,
    group_index: Tensor | None = None,
    dim: int = -1,
    alpha: float = 1.702,
    limit: float = 7.0,
    bias: float = 1.0,
    interleaved: bool = True,
) -> Tensor:
    """A * sigmoid(alpha * A) * (B + bias), with A at most ``limit`` and B within it on both sides.

    A and B are the even and odd elements along ``dim`` (``interleaved``), or its halves. Rows beyond the sum of
    ``group_index`` are not computed: they are zero here, and left as they were on hardware.
    """
    operator = "npu_clipped_swiglu"
    types(operator, FLOATS, x=x)
    dimensions(operator, 2, 8, x=x)
    _halves(x, dim, operator)
    dim %= x.dim()
    rows = math.prod(x.shape[:dim])
    flat = wide(x).reshape(rows, -1)
    first, second = (flat[:, ::2], flat[:, 1::2]) if interleaved else flat.chunk(2, -1)
    gate, value = first.clamp(max=limit), second.clamp(-limit, limit)
    result = gate * torch.sigmoid(alpha * gate) * (value + bias)
    if group_index is not None:
        result = torch.where(torch.arange(rows, device=x.device)[:, None] < group_index.sum(), result, 0.0)
    return result.view(*x.shape[:dim], x.shape[dim] // 2, *x.shape[dim + 1 :]).to(x.dtype)


def gelu(x: Tensor, approximate: str) -> Tensor:
    """GELU in float32."""
    return functional.gelu(wide(x), approximate=approximate)


def _gelu_gradient(x: Tensor, approximate: str) -> Tensor:
    if approximate == "none":
        density = torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi)
        return (1 + torch.erf(x / math.sqrt(2))) / 2 + x * density
    scale = math.sqrt(2 / math.pi)
    tanh = torch.tanh(scale * (x + 0.044715 * x**3))
    return (1 + tanh) / 2 + x * (1 - tanh.square()) / 2 * scale * (1 + 3 * 0.044715 * x.square())


def _approximate(number: int, operator: str) -> str:
    one_of(operator, "approximate", number, (0, 1))
    return ("none", "tanh")[number]


@kernel("npu_geglu")
def geglu(self: Tensor, dim: int = -1, approximate: int = 1, activate_left: bool = False) -> tuple[Tensor, Tensor]:
    """One half along ``dim`` times the GELU of the other (by default of the second), and that GELU."""
    types("npu_geglu", FLOATS, self=self)
    value, gate = _halves(self, dim, "npu_geglu")
    if activate_left:
        value, gate = gate, value
    activated = gelu(gate, _approximate(approximate, "npu_geglu"))
    return (value * activated).to(self.dtype), activated.to(self.dtype)


@kernel("npu_geglu_grad")
def geglu_grad(
    grad_output: Tensor,
    self: Tensor,
    gelu: Tensor,
    dim: int = -1,
    approximate: int = 1,
    activate_left: bool = False,
) -> Tensor:
    """The gradient of self; ``gelu`` is the second result of npu_geglu."""
    value, gate = _halves(self, dim, "npu_geglu_grad")
    if activate_left:
        value, gate = gate, value
    grad = wide(grad_output)
    grad_value = grad * wide(gelu)
    grad_gate = grad * value * _gelu_gradient(gate, _approximate(approximate, "npu_geglu_grad"))
    parts = (grad_gate, grad_value) if activate_left else (grad_value, grad_gate)
    return torch.cat(parts, dim).to(self.dtype)


@derivative("npu_geglu", of="self")
def _geglu(grad: Tensor, self: Tensor, result1: Tensor, dim: int, approximate: int, activate_left: bool) -> Tensor:
    gradient: Tensor = torch.ops.npu.npu_geglu_grad(grad, self, result1, dim, approximate, activate_left)
    return gradient


@kernel("npu_gelu")
def npu_gelu(self: Tensor, *, approximate: str = "none") -> Tensor:
    """GELU, exact or by tanh."""
    types("npu_gelu", FLOATS, self=self)
    one_of("npu_gelu", "approximate", approximate, ("none", "tanh"))
    return gelu(self, approximate).to(self.dtype)


@kernel("npu_gelu_backward")
def gelu_backward(grad_output: Tensor, self: Tensor, *, approximate: str = "none") -> Tensor:
    """The gradient of self."""
    return (wide(grad_output) * _gelu_gradient(wide(self), approximate)).to(self.dtype)


@derivative("npu_gelu", of="self")
def _gelu(grad: Tensor, self: Tensor, approximate: str) -> Tensor:
    gradient: Tensor = torch.ops.npu.npu_gelu_backward(grad, self, approximate=approximate)
    return gradient


@kernel("npu_gelu_mul")
def gelu_mul(input: Tensor, *, approximate: str = "none") -> Tensor:
    """GELU of the first half of the last dimension, times the second."""
    types("npu_gelu_mul", FLOATS, input=input)
    one_of("npu_gelu_mul", "approximate", approximate, ("none", "tanh"))
    gate, value = _halves(input, -1, "npu_gelu_mul")
    return (gelu(gate, approximate) * value).to(input.dtype)


@kernel("npu_fast_gelu")
def fast_gelu(self: Tensor) -> Tensor:
    """x * sigmoid(1.702 * x)."""
    types("npu_fast_gelu", FLOATS, self=self)
    x = wide(self)
    return (x * torch.sigmoid(1.702 * x)).to(self.dtype)


@kernel("npu_fast_gelu_backward")
def fast_gelu_backward(grad: Tensor, self: Tensor) -> Tensor:
    """The gradient of self."""
    x = wide(self)
    sigmoid = torch.sigmoid(1.702 * x)
    return (wide(grad) * sigmoid * (1 + 1.702 * x * (1 - sigmoid))).to(self.dtype)


@derivative("npu_fast_gelu", of="self")
def _fast_gelu(grad: Tensor, self: Tensor) -> Tensor:
    gradient: Tensor = torch.ops.npu.npu_fast_gelu_backward(grad, self)
    return gradient


@kernel("npu_silu")
def silu(self: Tensor) -> Tensor:
    """x * sigmoid(x)."""
    types("npu_silu", FLOATS, self=self)
    return functional.silu(wide(self)).to(self.dtype)


@kernel("npu_silu_")
def silu_(self: Tensor) -> Tensor:
    """x * sigmoid(x), in place."""
    types("npu_silu_", FLOATS, self=self)
    return self.copy_(functional.silu(wide(self)))


@kernel("npu_silu_backward")
def silu_backward(grad_output: Tensor, x0: Tensor, x1: Tensor) -> Tensor:
    """The gradient of x0; x1 is the result."""
    return (wide(grad_output) * _silu_gradient(wide(x0))).to(x0.dtype)


@derivative("npu_silu", of="self")
def _silu(grad: Tensor, self: Tensor, result0: Tensor) -> Tensor:
    gradient: Tensor = torch.ops.npu.npu_silu_backward(grad, self, result0)
    return gradient


@kernel("npu_mish")
def mish(self: Tensor) -> Tensor:
    """x * tanh(softplus(x))."""
    types("npu_mish", FLOATS, self=self)
    return functional.mish(wide(self)).to(self.dtype)


@kernel("npu_mish_backward")
def mish_backward(grad: Tensor, input: Tensor) -> Tensor:
    """The gradient of input."""
    x = wide(input)
    tanh = torch.tanh(functional.softplus(x))
    return (wide(grad) * (tanh + x * torch.sigmoid(x) * (1 - tanh.square()))).to(input.dtype)


@derivative("npu_mish", of="self")
def _mish(grad: Tensor, self: Tensor) -> Tensor:
    gradient: Tensor = torch.ops.npu.npu_mish_backward(grad, self)
    return gradient
