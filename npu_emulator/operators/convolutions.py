"""Convolutions under the vendor's names, in two and three dimensions."""

from __future__ import annotations

import torch
from torch import Tensor

from npu_emulator.operators.limits import FLOATS, types
from npu_emulator.operators.precision import wide
from npu_emulator.operators.registry import derivative, kernel

Gradients = tuple[Tensor, Tensor, Tensor]


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    transposed: bool = False,
    output_padding: list[int] | None = None,
) -> Tensor:
    types("npu_convolution", FLOATS, input=x, weight=weight, bias=bias)
    output_padding = output_padding or [0] * len(padding)
    result = torch.convolution(
        wide(x), wide(weight), wide(bias), stride, padding, dilation, transposed, output_padding, groups
    )
    return result.to(x.dtype)


def _backward(
    x: Tensor,
    grad: Tensor,
    weight: Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    mask: list[bool],
    transposed: bool = False,
    output_padding: list[int] | None = None,
) -> Gradients:
    bias_size = [weight.shape[1] * groups if transposed else weight.shape[0]]
    output_padding = output_padding or [0] * len(padding)
    parts = torch.ops.aten.convolution_backward(
        wide(grad),
        wide(x),
        wide(weight),
        bias_size,
        stride,
        padding,
        dilation,
        transposed,
        output_padding,
        groups,
        mask,
    )
    grad_x, grad_weight, grad_bias = (x.new_empty(0) if part is None else part.to(x.dtype) for part in parts)
    return grad_x, grad_weight, grad_bias


@kernel("npu_convolution", "npu_conv2d", "npu_conv3d")
def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> Tensor:
    """Convolution."""
    return _convolution(input, weight, bias, stride, padding, dilation, groups)


@kernel("npu_conv2d.out", "npu_conv3d.out")
def convolution_out(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    *,
    out: Tensor,
) -> Tensor:
    """Convolution into ``out``."""
    return out.copy_(_convolution(input, weight, bias, stride, padding, dilation, groups))


@kernel("npu_convolution_backward", "npu_conv2d_backward")
def convolution_backward(
    input: Tensor,
    grad_output: Tensor,
    weight: Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    output_mask: list[bool],
) -> Gradients:
    """Gradients of input, weight and bias, empty where not asked for."""
    return _backward(input, grad_output, weight, stride, padding, dilation, groups, output_mask)


@kernel("npu_conv3d_backward")
def conv3d_backward(
    input: Tensor,
    grad: Tensor,
    weight: Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    output_mask: list[bool],
) -> Gradients:
    """The same, by the name of its schema."""
    return _backward(input, grad, weight, stride, padding, dilation, groups, output_mask)


@derivative("npu_convolution", "npu_conv2d", "npu_conv3d", of="input weight bias")
def _differentiated(
    grad: Tensor,
    input: Tensor,
    weight: Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    needed: tuple[bool, ...],
) -> Gradients:
    gradients: Gradients = torch.ops.npu.npu_convolution_backward(
        input, grad, weight, stride, padding, dilation, groups, list(needed)
    )
    return gradients


@kernel("npu_convolution_transpose", "npu_conv_transpose2d")
def convolution_transpose(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    padding: list[int],
    output_padding: list[int],
    stride: list[int],
    dilation: list[int],
    groups: int,
) -> Tensor:
    """Transposed convolution."""
    return _convolution(input, weight, bias, stride, padding, dilation, groups, True, output_padding)


@kernel("npu_conv_transpose2d_backward", "npu_conv_transpose3d_backward")
def convolution_transpose_backward(
    input: Tensor,
    grad_output: Tensor,
    weight: Tensor,
    padding: list[int],
    output_padding: list[int],
    stride: list[int],
    dilation: list[int],
    groups: int,
    output_mask: list[bool],
) -> Gradients:
    """Gradients of input, weight and bias, empty where not asked for."""
    return _backward(input, grad_output, weight, stride, padding, dilation, groups, output_mask, True, output_padding)


@kernel("npu_convolution_transpose_backward")
def convolution_transpose_backward_by_mask(
    input: Tensor,
    grad: Tensor,
    weight: Tensor,
    padding: list[int],
    output_padding: list[int],
    stride: list[int],
    dilation: list[int],
    groups: int,
    grad_input_mask: list[bool],
) -> Gradients:
    """The same, by the names of its schema."""
    return _backward(input, grad, weight, stride, padding, dilation, groups, grad_input_mask, True, output_padding)


@derivative("npu_convolution_transpose", "npu_conv_transpose2d", of="input weight bias")
def _transpose_differentiated(
    grad: Tensor,
    input: Tensor,
    weight: Tensor,
    padding: list[int],
    output_padding: list[int],
    stride: list[int],
    dilation: list[int],
    groups: int,
    needed: tuple[bool, ...],
) -> Gradients:
    gradients: Gradients = torch.ops.npu.npu_convolution_transpose_backward(
        input, grad, weight, padding, output_padding, stride, dilation, groups, list(needed)
    )
    return gradients
