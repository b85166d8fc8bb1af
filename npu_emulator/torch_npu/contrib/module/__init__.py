"""Modules that stand in for torch's, or wrap a fused operator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from npu_emulator.npu.not_emulated import placeholder

from ..function import dropout_with_byte_mask

_MODULE = "torch_npu.contrib.module"

ModulatedDeformConv = placeholder("ModulatedDeformConv", _MODULE)
MultiheadAttention = placeholder("MultiheadAttention", _MODULE)
PSROIPool = placeholder("PSROIPool", _MODULE)
QuantConv2d = placeholder("QuantConv2d", _MODULE)
ROIAlign = placeholder("ROIAlign", _MODULE)


class ChannelShuffle(nn.Module):
    """Takes the channels of two tensors [N, C, ...] in turns, and cuts the result in half again (``split_shuffle``).

    Raises:
        NotImplementedError: ``groups`` is not 2, as on hardware.
    """

    def __init__(self, in_channels: int, groups: int = 2, split_shuffle: bool = True) -> None:
        super().__init__()
        if groups != 2:
            raise NotImplementedError(f"ChannelShuffle: groups is {groups}, expected 2")
        self.in_channels, self.groups, self.split_shuffle = in_channels, groups, split_shuffle

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Both tensors' channels in turns."""
        shuffled = torch.stack((x1, x2), 2).flatten(1, 2)
        return torch.chunk(shuffled, 2, 1) if self.split_shuffle else shuffled


class Focus(nn.Module):
    """YOLOv5's Focus: every second pixel as a channel of its own, then convolution, norm and SiLU."""

    def __init__(
        self, c1: int, c2: int, k: int = 1, s: int = 1, p: int | None = None, g: int = 1, act: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c1 * 4, c2, k, s, k // 2 if p is None else p, groups=g, bias=False)
        self.bn = nn.BatchNorm2d(c2)
        self.act: nn.Module = nn.SiLU() if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[N, c1, H, W] as [N, c2, H / 2, W / 2] (at stride 1)."""
        parts = (x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2])
        result: Tensor = self.act(self.bn(self.conv(torch.cat(parts, 1))))
        return result


class LabelSmoothingCrossEntropy(nn.Module):
    """Cross entropy with the labels spread over all classes by ``smooth_factor``."""

    def __init__(self, num_classes: int = 1000, smooth_factor: float = 0.0) -> None:
        super().__init__()
        self.on_value = 1 - smooth_factor
        self.off_value = smooth_factor / (num_classes - 1)
        self.num_classes = num_classes

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Mean loss of [N, C] and [N]."""
        picked = functional.one_hot(target.long(), self.num_classes).to(pred.dtype)
        labels = picked * (self.on_value - self.off_value) + self.off_value
        return -(labels * functional.log_softmax(pred, -1)).sum(-1).mean()


class NpuDropPath(nn.Module):
    """Drops whole samples with ``drop_prob``, in training."""

    def __init__(self, drop_prob: float | None = None) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        """x, some samples zero, the others scaled up."""
        if not self.drop_prob or not self.training:
            return x
        keep = 1 - self.drop_prob
        kept = torch.rand(x.shape[0], *[1] * (x.dim() - 1), device=x.device, dtype=torch.float32) < keep
        return x / keep * kept.to(x.dtype)


class DropoutWithByteMask(nn.Module):
    """Dropout."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def forward(self, input1: Tensor) -> Tensor:
        """Dropout in training, else the input."""
        return dropout_with_byte_mask(input1, self.p, self.training, self.inplace)


class NpuCachedDropout(nn.Dropout):
    """Dropout; on hardware its masks are made ahead."""

    def __init__(self, p: float, module_name: str | None = None) -> None:
        super().__init__(p)
        self.module_name = module_name


NpuFairseqDropout = NpuCachedDropout


class Prefetcher:
    """A data loader's batches on the NPU: ``next()`` gives input and target, (None, None) behind the last."""

    def __init__(self, loader: Iterable[Any], stream: Any = None) -> None:
        self.loader: Iterator[Any] = iter(loader)
        self.stream = torch.npu.Stream() if stream is None else stream  # type: ignore[attr-defined]

    def next(self) -> tuple[Tensor | None, Tensor | None]:
        """The next batch."""
        try:
            given, target = next(self.loader)
        except StopIteration:
            return None, None
        return given.to("npu", non_blocking=True), target.to("npu", non_blocking=True)


def _parameter(made: bool, *size: int, dtype: torch.dtype, device: Any = None) -> nn.Parameter | None:
    if not made:
        return None
    return nn.Parameter(torch.zeros(*size, dtype=dtype, device=device), requires_grad=False)


class LinearQuant(nn.Module):
    """npu_quant_matmul with a weight [out_features, in_features] in int8 and its scale."""

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
        self.weight = _parameter(True, out_features, in_features, dtype=torch.int8, device=device)
        self.scale = _parameter(True, out_features, dtype=torch.float32, device=device)
        self.offset = _parameter(offset, out_features, dtype=torch.float32, device=device)
        self.pertoken_scale = _parameter(pertoken_scale, 1, dtype=torch.float32, device=device)
        self.bias = _parameter(bias, out_features, dtype=torch.int32, device=device)

    def forward(self, x1: Tensor) -> Tensor:
        """[..., in_features] in int8 as [..., out_features]."""
        assert self.weight is not None
        result: Tensor = torch.ops.npu.npu_quant_matmul(
            x1,
            self.weight.transpose(-1, -2),
            self.scale,
            offset=self.offset,
            pertoken_scale=self.pertoken_scale,
            bias=self.bias,
            output_dtype=self.output_dtype,
        )
        return result


class LinearA8W8Quant(LinearQuant):
    """The older name of LinearQuant."""


class LinearWeightQuant(nn.Module):
    """npu_weight_quant_batchmatmul with a weight [out_features, in_features] in int8 or 4 bits, and its scale."""

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
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.antiquant_group_size, self.inner_precise = antiquant_group_size, inner_precise
        kind = dtype or torch.float16
        groups = -(-in_features // antiquant_group_size) if antiquant_group_size else 1
        self.weight = _parameter(True, out_features, in_features, dtype=torch.int8, device=device)
        self.antiquant_scale = _parameter(True, out_features, groups, dtype=kind, device=device)
        self.antiquant_offset = _parameter(antiquant_offset, out_features, groups, dtype=kind, device=device)
        self.quant_scale = _parameter(quant_scale, 1, out_features, dtype=torch.float32, device=device)
        self.quant_offset = _parameter(quant_offset, 1, out_features, dtype=torch.float32, device=device)
        bias_kind = torch.float32 if kind == torch.bfloat16 else kind
        self.bias = _parameter(bias, out_features, dtype=bias_kind, device=device)

    def forward(self, x: Tensor) -> Tensor:
        """[M, in_features] as [M, out_features]."""
        assert self.weight is not None
        assert self.antiquant_scale is not None
        offset = None if self.antiquant_offset is None else self.antiquant_offset.transpose(-1, -2)
        result: Tensor = torch.ops.npu.npu_weight_quant_batchmatmul(
            x,
            self.weight.transpose(-1, -2),
            self.antiquant_scale.transpose(-1, -2),
            offset,
            self.quant_scale,
            self.quant_offset,
            self.bias,
            self.antiquant_group_size,
            self.inner_precise,
        )
        return result
