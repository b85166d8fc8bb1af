"""Normalizations, alone or with the addition, cast or quantization before or after them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from npu_emulator.operators.limits import FLOATS, dimensions, limit, require, same_type, types
from npu_emulator.operators.precision import wide
from npu_emulator.operators.registry import derivative, kernel


def _normalized_dims(x: Tensor, gamma: Tensor, operator: str) -> tuple[int, ...]:
    fits = 0 < gamma.dim() <= x.dim() and x.shape[x.dim() - gamma.dim() :] == gamma.shape
    require(fits, operator, "gamma", list(gamma.shape), f"the last dimensions of {list(x.shape)}")
    return tuple(range(-gamma.dim(), 0))


def rms(x: Tensor, gamma: Tensor, epsilon: float, operator: str) -> tuple[Tensor, Tensor]:
    """x / rms(x) * gamma, and 1 / rms(x) with the normalized dimensions as 1; both wide."""
    dims = _normalized_dims(x, gamma, operator)
    x = wide(x)
    rstd = torch.rsqrt(x.square().mean(dims, keepdim=True) + epsilon)
    return x * rstd * wide(gamma), rstd


@kernel("npu_rms_norm")
def rms_norm(self: Tensor, gamma: Tensor, epsilon: float = 1e-06) -> tuple[Tensor, Tensor]:
    """self / rms(self) * gamma, and 1 / rms(self) in float32; gamma may be float32 beside halves."""
    types("npu_rms_norm", FLOATS, self=self, gamma=gamma)
    if gamma.dtype != torch.float32:
        same_type("npu_rms_norm", self=self, gamma=gamma)
    result, rstd = rms(self, gamma, epsilon, "npu_rms_norm")
    return result.to(self.dtype), rstd


@kernel("npu_rms_norm_backward")
def rms_norm_backward(dy: Tensor, self: Tensor, gamma: Tensor, rstd: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of self, in its type, and of gamma, in float32."""
    dims = _normalized_dims(self, gamma, "npu_rms_norm_backward")
    grad, normalized = wide(dy), wide(self) * rstd
    grad_gamma = (grad * normalized).sum_to_size(gamma.shape)
    grad_normalized = grad * wide(gamma)
    grad_self = rstd * (grad_normalized - normalized * (grad_normalized * normalized).mean(dims, keepdim=True))
    return grad_self.to(self.dtype), grad_gamma


@derivative("npu_rms_norm", of="self gamma")
def _rms_norm(grad: Tensor, self: Tensor, gamma: Tensor, result1: Tensor) -> tuple[Tensor, Tensor]:
    gradients: tuple[Tensor, Tensor] = torch.ops.npu.npu_rms_norm_backward(grad, self, gamma, result1)
    return gradients


@kernel("npu_gemma_rms_norm")
def gemma_rms_norm(self: Tensor, gamma: Tensor, epsilon: float = 1e-06) -> tuple[Tensor, Tensor]:
    """self / rms(self) * (1 + gamma), and 1 / rms(self) in float32."""
    types("npu_gemma_rms_norm", FLOATS, self=self, gamma=gamma)
    result, rstd = rms(self, 1 + wide(gamma), epsilon, "npu_gemma_rms_norm")
    return result.to(self.dtype), rstd


def _add(x1: Tensor, x2: Tensor, operator: str, **others: Tensor | None) -> Tensor:
    """x1 + x2 in their type."""
    types(operator, FLOATS, x1=x1, x2=x2, **others)
    same_type(operator, x1=x1, x2=x2, **others)
    require(x1.shape == x2.shape, operator, "x2", list(x2.shape), f"the shape of x1, {list(x1.shape)}")
    return (wide(x1) + wide(x2)).to(x1.dtype)


def _add_rms(x1: Tensor, x2: Tensor, gamma: Tensor, epsilon: float, operator: str) -> tuple[Tensor, Tensor, Tensor]:
    total = _add(x1, x2, operator, gamma=gamma)
    result, rstd = rms(wide(x1) + wide(x2), gamma, epsilon, operator)
    return result, rstd, total


@kernel("npu_add_rms_norm", "npu_add_rms_norm_v2_functional")
def add_rms_norm(x1: Tensor, x2: Tensor, gamma: Tensor, epsilon: float = 1e-06) -> tuple[Tensor, Tensor, Tensor]:
    """The norm of x1 + x2, 1 / rms in float32, and x1 + x2."""
    result, rstd, total = _add_rms(x1, x2, gamma, epsilon, "npu_add_rms_norm")
    return result.to(x1.dtype), rstd, total


@kernel("npu_add_rms_norm_v2")
def add_rms_norm_v2(x1: Tensor, x2: Tensor, gamma: Tensor, epsilon: float = 1e-06) -> Tensor:
    """Puts the norm of x1 + x2 into x1, and the sum into x2; returns 1 / rms in float32."""
    result, rstd, total = _add_rms(x1, x2, gamma, epsilon, "npu_add_rms_norm_v2")
    x1.copy_(result)
    x2.copy_(total)
    return rstd


@kernel("npu_add_rms_norm_cast")
def add_rms_norm_cast(
    x1: Tensor, x2: Tensor, gamma: Tensor, epsilon: float = 1e-06
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The norm of x1 + x2 in float32 and in the type of x1, 1 / rms in float32, and x1 + x2."""
    result, rstd, total = _add_rms(x1, x2, gamma, epsilon, "npu_add_rms_norm_cast")
    rounded = result.to(x1.dtype)
    return wide(rounded), rounded, rstd, total


@kernel("npu_layer_norm_eval")
def layer_norm_eval(
    input: Tensor,
    normalized_shape: list[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-05,
) -> Tensor:
    """Layer norm over the last dimensions, without what a backward needs."""
    types("npu_layer_norm_eval", FLOATS, input=input, weight=weight, bias=bias)
    result = functional.layer_norm(wide(input), normalized_shape, wide(weight), wide(bias), eps)
    return result.to(input.dtype)


@kernel("npu_layernorm_grad")
def layernorm_grad(
    grad_out: Tensor,
    input: Tensor,
    normalized_shape: list[int],
    mean: Tensor,
    rstd: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of input, weight and bias of a layer norm."""
    size = [*input.shape[: input.dim() - len(normalized_shape)], *[1] * len(normalized_shape)]
    mean, rstd = wide(mean).view(size), wide(rstd).view(size)
    return _layer_norm_backward(wide(grad_out), wide(input), mean, rstd, weight, normalized_shape, input.dtype)


def _layer_norm_backward(
    grad: Tensor,
    x: Tensor,
    mean: Tensor,
    rstd: Tensor,
    weight: Tensor | None,
    normalized_shape: list[int],
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    dims = tuple(range(-len(normalized_shape), 0))
    normalized = (x - mean) * rstd
    grad_normalized = grad if weight is None else grad * wide(weight)
    centred = grad_normalized - grad_normalized.mean(dims, keepdim=True)
    grad_x = rstd * (centred - normalized * (grad_normalized * normalized).mean(dims, keepdim=True))
    grad_weight, grad_bias = (part.sum_to_size(normalized_shape) for part in (grad * normalized, grad))
    return grad_x.to(dtype), grad_weight, grad_bias


@kernel("npu_add_layer_norm")
def add_layer_norm(
    x1: Tensor,
    x2: Tensor,
    gamma: Tensor,
    beta: Tensor,
    epsilon: float = 1e-05,
    additional_output: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The layer norm of x1 + x2 over the dimensions of gamma, its mean and 1 / deviation in float32, and x1 + x2."""
    operator = "npu_add_layer_norm"
    types(operator, FLOATS, x1=x1, x2=x2, gamma=gamma, beta=beta)
    require(x1.shape == x2.shape, operator, "x2", list(x2.shape), f"the shape of x1, {list(x1.shape)}")
    dims = _normalized_dims(x1, gamma, operator)
    total = wide(x1) + wide(x2)
    mean = total.mean(dims, keepdim=True)
    rstd = torch.rsqrt((total - mean).square().mean(dims, keepdim=True) + epsilon)
    result = (total - mean) * rstd * wide(gamma) + wide(beta)
    kept = total.to(x1.dtype) if additional_output else x1.new_empty(0)
    return result.to(x1.dtype), mean, rstd, kept


@kernel("npu_add_layer_norm_backward")
def add_layer_norm_backward(
    dy_opt: Tensor | None,
    x1: Tensor,
    x2: Tensor,
    rstd: Tensor,
    mean: Tensor,
    gamma: Tensor,
    dsum_opt: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x1, x2, gamma and beta."""
    total = wide(x1) + wide(x2)
    grad = torch.zeros_like(total) if dy_opt is None else wide(dy_opt)
    grad_x, grad_gamma, grad_beta = _layer_norm_backward(grad, total, mean, rstd, gamma, list(gamma.shape), total.dtype)
    if dsum_opt is not None and dsum_opt.numel():
        grad_x = grad_x + wide(dsum_opt)
    return grad_x.to(x1.dtype), grad_x.to(x2.dtype), grad_gamma, grad_beta


@derivative("npu_add_layer_norm", of="x1 x2 gamma beta", results=(0, 3))
def _add_layer_norm(
    grad: Tensor, grad3: Tensor, x1: Tensor, x2: Tensor, gamma: Tensor, result1: Tensor, result2: Tensor
) -> tuple[Tensor, ...]:
    gradients: tuple[Tensor, ...] = torch.ops.npu.npu_add_layer_norm_backward(
        grad, x1, x2, result2, result1, gamma, grad3
    )
    return gradients


@kernel("npu_deep_norm")
def deep_norm(
    x: Tensor, gx: Tensor, beta: Tensor, gamma: Tensor, alpha: float = 0.3, epsilon: float = 1e-06
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and 1 / deviation (float32) of alpha * x + gx, then its layer norm."""
    types("npu_deep_norm", FLOATS, x=x, gx=gx, beta=beta, gamma=gamma)
    dims = _normalized_dims(x, gamma, "npu_deep_norm")
    total = alpha * wide(x) + wide(gx)
    mean = total.mean(dims, keepdim=True)
    rstd = torch.rsqrt((total - mean).square().mean(dims, keepdim=True) + epsilon)
    return mean, rstd, ((total - mean) * rstd * wide(gamma) + wide(beta)).to(x.dtype)


@kernel("npu_deep_norm_backward")
def deep_norm_backward(
    dy: Tensor, x: Tensor, gx: Tensor, gamma: Tensor, mean: Tensor, rstd: Tensor, alpha: float = 0.3
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, gx, beta and gamma."""
    total = alpha * wide(x) + wide(gx)
    grad, grad_gamma, grad_beta = _layer_norm_backward(
        wide(dy), total, mean, rstd, gamma, list(gamma.shape), total.dtype
    )
    return (alpha * grad).to(x.dtype), grad.to(gx.dtype), grad_beta, grad_gamma


@derivative("npu_deep_norm", of="x gx beta gamma", results=(2,))
def _deep_norm(
    grad2: Tensor, x: Tensor, gx: Tensor, gamma: Tensor, result0: Tensor, result1: Tensor, alpha: float
) -> tuple[Tensor, ...]:
    gradients: tuple[Tensor, ...] = torch.ops.npu.npu_deep_norm_backward(grad2, x, gx, gamma, result0, result1, alpha)
    return gradients


def _group_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, groups: int, eps: float, operator: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Group norm in float32, with mean and 1 / deviation as [N, groups]."""
    types(operator, FLOATS, input=x, weight=weight, bias=bias)
    dimensions(operator, 2, 8, input=x)
    limit(eps > 0, operator, "eps", eps, "a positive number")
    fits = groups > 0 and x.shape[1] % groups == 0
    require(fits, operator, "the number of groups", groups, f"a divisor of the {x.shape[1]} channels")
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None:
            require(list(tensor.shape) == [x.shape[1]], operator, name, list(tensor.shape), [x.shape[1]])
    grouped = wide(x).reshape(x.shape[0], groups, -1)
    mean = grouped.mean(-1)
    rstd = torch.rsqrt(grouped.var(-1, correction=0) + eps)
    return functional.group_norm(wide(x), groups, wide(weight), wide(bias), eps), mean, rstd


@kernel("npu_group_norm_silu")
def group_norm_silu(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, group: int, eps: float = 0.00001
) -> tuple[Tensor, Tensor, Tensor]:
    """SiLU of the group norm, its mean and 1 / deviation as [N, group]; all in the type of input."""
    operator = "npu_group_norm_silu"
    normalized, mean, rstd = _group_norm(input, weight, bias, group, eps, operator)
    if weight is not None:
        same_type(operator, weight=weight, bias=bias)
    return functional.silu(normalized).to(input.dtype), mean.to(input.dtype), rstd.to(input.dtype)


@kernel("npu_group_norm_swish")
def group_norm_swish(
    input: Tensor,
    num_groups: int,
    weight: Tensor,
    bias: Tensor,
    eps: float | None = 1e-5,
    swish_scale: float | None = 1.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """y * sigmoid(swish_scale * y) of the group norm y, and its mean and 1 / deviation in float32."""
    eps, scale = 1e-5 if eps is None else eps, 1.0 if swish_scale is None else swish_scale
    normalized, mean, rstd = _group_norm(input, weight, bias, num_groups, eps, "npu_group_norm_swish")
    return (normalized * torch.sigmoid(scale * normalized)).to(input.dtype), mean, rstd


@kernel("npu_group_norm_swish_grad")
def group_norm_swish_grad(
    grad: Tensor,
    input: Tensor,
    num_groups: int,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    rstd: Tensor,
    grad_input_mask: list[bool],
    swish_scale: float | None = 1.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of input, weight and bias."""
    scale = 1.0 if swish_scale is None else swish_scale
    batch, channels = input.shape[:2]
    grouped = wide(input).reshape(batch, num_groups, -1)
    normalized = ((grouped - mean[..., None]) * rstd[..., None]).view(batch, channels, -1)
    gain = wide(weight)[:, None]
    y = normalized * gain + wide(bias)[:, None]
    sigmoid = torch.sigmoid(scale * y)
    grad_y = wide(grad).reshape(batch, channels, -1) * sigmoid * (1 + scale * y * (1 - sigmoid))
    grad_weight, grad_bias = ((grad_y * part).sum((0, 2)) for part in (normalized, torch.ones_like(y)))
    inner = (grad_y * gain).view(batch, num_groups, -1)
    turned = normalized.view(batch, num_groups, -1)
    centred = inner - inner.mean(-1, keepdim=True) - turned * (inner * turned).mean(-1, keepdim=True)
    grad_input = (rstd[..., None] * centred).view(input.shape)
    return grad_input.to(input.dtype), grad_weight.to(weight.dtype), grad_bias.to(bias.dtype)


@derivative("npu_group_norm_swish", of="input weight bias")
def _group_norm_swish(
    grad: Tensor,
    input: Tensor,
    num_groups: int,
    weight: Tensor,
    bias: Tensor,
    result1: Tensor,
    result2: Tensor,
    needed: tuple[bool, ...],
    swish_scale: float | None,
) -> tuple[Tensor, ...]:
    gradients: tuple[Tensor, ...] = torch.ops.npu.npu_group_norm_swish_grad(
        grad, input, num_groups, weight, bias, result1, result2, list(needed), swish_scale
    )
    return gradients
