"""Linear layers and a convolution with weights in few bits.

Their parameters are float32 on the host until the program sets their ``data``, as in torch_npu: neither ``device`` nor
``dtype`` changes that, except the ``device`` of LinearWeightQuant.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.utils import _pair

Size = int | tuple[int, int]


def _parameter(made: bool, *size: int, dtype: torch.dtype | None = None, device: Any = None) -> nn.Parameter | None:
    return nn.Parameter(torch.empty(*size, dtype=dtype, device=device), requires_grad=False) if made else None


class LinearQuant(nn.Module):
    """npu_quant_matmul with a weight [out_features, in_features] in int8 or packed int4, and its scale."""

    in_features: int
    out_features: int
    weight: Tensor
    scale: Tensor
    offset: Tensor | None
    pertoken_scale: Tensor | None
    bias: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        offset: bool = False,
        pertoken_scale: bool = False,
        device: Any = None,
        dtype: Any = None,
        output_dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features, self.output_dtype = in_features, out_features, output_dtype
        self.register_parameter("weight", _parameter(True, out_features, in_features))
        self.register_parameter("scale", _parameter(True, out_features))
        self.register_parameter("offset", _parameter(offset, out_features, dtype=torch.float32))
        self.register_parameter("pertoken_scale", _parameter(pertoken_scale, out_features, dtype=torch.float32))
        self.register_parameter("bias", _parameter(bias, out_features, dtype=torch.int32))

    def forward(self, linear_quant_input: Tensor) -> Tensor:
        """[..., in_features] in int8 (or [..., in_features / 8] in int32) as [..., out_features].

        Raises:
            ValueError: input and weight are not both int8 or both int32.
        """
        given = {linear_quant_input.dtype, self.weight.dtype}
        if given not in ({torch.int8}, {torch.int32}):
            raise ValueError(
                "input and weight should be both torch.int32 or both torch.int8 datatype, but now input is "
                f"{linear_quant_input.dtype}, weight is {self.weight.dtype}"
            )
        scale = self.scale
        rounded = scale.dtype == torch.float32 and self.output_dtype not in (torch.bfloat16, torch.int32)
        if self.pertoken_scale is None and rounded:
            scale = torch.ops.npu.npu_trans_quant_param(scale, self.offset)
        result: Tensor = torch.ops.npu.npu_quant_matmul(
            linear_quant_input,
            self.weight.transpose(-1, -2),
            scale,
            offset=self.offset,
            pertoken_scale=self.pertoken_scale,
            bias=self.bias,
            output_dtype=self.output_dtype,
        )
        return result


class LinearA8W8Quant(LinearQuant):
    """The older name of LinearQuant."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        offset: bool = False,
        pertoken_scale: bool = False,
        device: Any = None,
        dtype: Any = None,
        output_dtype: torch.dtype | None = None,
    ) -> None:
        warnings.warn(
            "torch_npu.contrib.module.LinearA8W8Quant is deprecated and will be removed in a future version. "
            "Use torch_npu.contrib.module.LinearQuant instead.",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__(
            in_features,
            out_features,
            bias=bias,
            offset=offset,
            pertoken_scale=pertoken_scale,
            output_dtype=output_dtype,
        )

    def forward(self, linear_quant_input: Tensor) -> Tensor:
        """[..., in_features] in int8 (or [..., in_features / 8] in int32) as [..., out_features].

        Raises:
            ValueError: a parameter or the result is of a type that the older layer does not take.
        """
        floats = (torch.bfloat16, torch.float16)
        self._check("scale", self.scale, (torch.int64, torch.float32, torch.bfloat16))
        self._check("offset", self.offset, (torch.float32,))
        self._check("bias", self.bias, (torch.int32, *floats, torch.float32))
        self._check("pertoken_scale", self.pertoken_scale, (torch.float32,))
        if self.output_dtype not in (None, torch.int8, *floats):
            raise ValueError(
                f"output_dtype should be torch.int8, torch.float16 or torch.bfloat16, but now it is {self.output_dtype}"
            )
        return super().forward(linear_quant_input)

    @staticmethod
    def _check(name: str, parameter: Tensor | None, allowed: tuple[torch.dtype, ...]) -> None:
        if parameter is not None and parameter.dtype not in allowed:
            raise ValueError(
                f"{name} should be {' or '.join(map(str, allowed))} datatype, but now it is {parameter.dtype}"
            )


class LinearWeightQuant(nn.Module):
    """npu_weight_quant_batchmatmul with a weight [out_features, in_features] in int8 or 4 bits, and its scale.

    Scale and offset are [out_features], or once set [out_features, groups]. ``dtype`` changes nothing.
    """

    in_features: int
    out_features: int
    weight: Tensor
    antiquant_scale: Tensor
    antiquant_offset: Tensor | None
    quant_scale: Tensor | None
    quant_offset: Tensor | None
    bias: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
        antiquant_offset: bool = False,
        quant_scale: bool = False,
        quant_offset: bool = False,
        antiquant_group_size: int = 0,
        inner_precise: int = 0,
        weight_dtype: int | None = None,
    ) -> None:
        super().__init__()
        self.register_parameter("weight", _parameter(True, out_features, in_features, device=device))
        self.register_parameter("antiquant_scale", _parameter(True, out_features, device=device))
        optional = {
            "antiquant_offset": antiquant_offset,
            "quant_scale": quant_scale,
            "quant_offset": quant_offset,
            "bias": bias,
        }
        for name, made in optional.items():
            self.register_parameter(name, _parameter(made, out_features, device=device))
        self.antiquant_group_size, self.inner_precise = antiquant_group_size, inner_precise
        self.weight_dtype = weight_dtype

    def forward(self, x: Tensor) -> Tensor:
        """[M, in_features] as [M, out_features]."""
        scale, offset = self.antiquant_scale, self.antiquant_offset
        result: Tensor = torch.ops.npu.npu_weight_quant_batchmatmul(
            x,
            self.weight.transpose(-1, -2),
            scale.transpose(-1, -2) if scale.dim() == 2 else scale,
            offset.transpose(-1, -2) if offset is not None and offset.dim() == 2 else offset,
            self.quant_scale,
            self.quant_offset,
            self.bias,
            self.antiquant_group_size,
            self.inner_precise,
            weight_dtype=self.weight_dtype,
        )
        return result


class QuantConv2d(nn.Module):
    """The parameters of npu_quant_conv2d, an operator that is not emulated: ``forward`` raises."""

    in_channels: int
    out_channels: int
    k_size: int
    output_dtype: int
    weight: Tensor
    scale: Tensor
    bias: Tensor | None
    offset: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        output_dtype: int,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        offset: bool = False,
        offset_x: int = 0,
        round_mode: str = "rint",
        input_dtype: int | None = None,
        weight_dtype: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if offset:
            raise ValueError("offset must be False")
        self.in_channels, self.out_channels, self.output_dtype = in_channels, out_channels, output_dtype
        self.kernel_size, self.stride = _pair(kernel_size), _pair(stride)
        self.padding, self.dilation, self.groups = _pair(padding), _pair(dilation), groups
        self.offset_x, self.round_mode = offset_x, round_mode
        self.input_dtype, self.weight_dtype = input_dtype, weight_dtype
        self.register_parameter("weight", _parameter(True, out_channels, in_channels // groups, *self.kernel_size))
        self.register_parameter("scale", _parameter(True, out_channels, dtype=torch.int64))
        self.register_parameter("bias", _parameter(bias, out_channels))
        self.register_parameter("offset", None)

    def forward(self, quant_conv2d_input: Tensor) -> Tensor:
        """Raises NotEmulated."""
        scale = self.scale
        if scale.dtype == torch.float32:
            scale = torch.ops.npu.npu_trans_quant_param(scale)
        result: Tensor = torch.ops.npu.npu_quant_conv2d(
            quant_conv2d_input,
            self.weight,
            scale,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            self.offset_x,
            self.round_mode,
            self.output_dtype,
            self.bias,
            self.offset,
            self.input_dtype,
            self.weight_dtype,
        )
        return result
