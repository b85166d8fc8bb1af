"""Focus of YOLOv5, the channel shuffle of ShuffleNet, and deformable convolution."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.utils import _pair

from npu_emulator.npu.not_emulated import NotEmulated, refuse

Size = int | tuple[int, int]


def autopad(k: int | list[int], p: Any = None) -> Any:
    """Half the size of the kernel, or ``p`` where it is given."""
    if p is not None:
        return p
    return k // 2 if isinstance(k, int) else [x // 2 for x in k]


def fast_slice(x: Tensor) -> list[Tensor]:
    """[..., H, W] as four of [..., H / 2, W / 2]: every second pixel."""
    return [x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]]


class Conv(nn.Module):
    """Convolution, batch norm and leaky ReLU."""

    def __init__(self, c1: int, c2: int, k: int = 1, s: int = 1, p: Any = None, g: int = 1, act: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c1, c2, k, s, autopad(k, p), groups=g, bias=False)
        self.bn = nn.BatchNorm2d(c2)
        self.act: nn.Module = nn.LeakyReLU(0.1, inplace=True) if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[N, c1, H, W] as [N, c2, H, W] (at stride 1)."""
        result: Tensor = self.act(self.bn(self.conv(x)))
        return result

    def fuseforward(self, x: Tensor) -> Tensor:
        """The same without the norm, once that is part of the convolution's weights."""
        result: Tensor = self.act(self.conv(x))
        return result


class Focus(nn.Module):
    """YOLOv5's Focus: every second pixel as a channel of its own, then :class:`Conv`."""

    def __init__(self, c1: int, c2: int, k: int = 1, s: int = 1, p: Any = None, g: int = 1, act: bool = True) -> None:
        super().__init__()
        self.conv = Conv(c1 * 4, c2, k, s, p, g, act)

    def forward(self, x: Tensor) -> Tensor:
        """[N, c1, H, W] as [N, c2, H / 2, W / 2] (at stride 1)."""
        result: Tensor = self.conv(torch.cat(fast_slice(x), 1))
        return result


class IndexSelectFullImplementation(torch.autograd.Function):
    """:func:`indexselect_full_implementation_forward`; its backward takes the channels of each input by index too."""

    @staticmethod
    def forward(ctx: Any, x1: Tensor, x2: Tensor, fp_index: Tensor, bp_index1: Tensor, bp_index2: Tensor) -> Tensor:
        ctx.bp_index1, ctx.bp_index2 = bp_index1, bp_index2
        return indexselect_full_implementation_forward(x1, x2, fp_index)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        of_inputs = (grad_output.index_select(1, index) for index in (ctx.bp_index1, ctx.bp_index2))
        return *of_inputs, None, None, None


class IndexSelectHalfImplementation(torch.autograd.Function):
    """:func:`indexselect_half_implementation_forward`; its backward takes the channels of each input by index too."""

    @staticmethod
    def forward(
        ctx: Any,
        x1: Tensor,
        x2: Tensor,
        fp_index1: Tensor,
        fp_index2: Tensor,
        bp_index1: Tensor,
        bp_index2: Tensor,
    ) -> tuple[Tensor, Tensor]:
        ctx.bp_index1, ctx.bp_index2 = bp_index1, bp_index2
        return indexselect_half_implementation_forward(x1, x2, fp_index1, fp_index2)

    @staticmethod
    def backward(ctx: Any, grad_output1: Tensor, grad_output2: Tensor) -> Any:
        whole = torch.cat([grad_output1, grad_output2], 1)
        of_inputs = (whole.index_select(1, index) for index in (ctx.bp_index1, ctx.bp_index2))
        return *of_inputs, None, None, None, None


def indexselect_full_implementation_forward(x1: Tensor, x2: Tensor, fp_index: Tensor) -> Tensor:
    """The channels of both tensors [N, C, ...] in the order of ``fp_index``."""
    return torch.cat([x1, x2], 1).index_select(1, fp_index)


def indexselect_half_implementation_forward(
    x1: Tensor, x2: Tensor, fp_index1: Tensor, fp_index2: Tensor
) -> tuple[Tensor, Tensor]:
    """The channels of both tensors [N, C, ...] in two parts, in the orders of ``fp_index1`` and ``fp_index2``."""
    both = torch.cat([x1, x2], 1)
    return both.index_select(1, fp_index1), both.index_select(1, fp_index2)


class ChannelShuffle(nn.Module):
    """Takes the channels of two tensors [N, C, ...] in turns, and cuts the result in half again (``split_shuffle``).

    Raises:
        NotEmulated: ``groups`` is not 2, for which torch_npu has no right gradient.
    """

    def __init__(self, in_channels: int, groups: int = 2, split_shuffle: bool = True) -> None:
        super().__init__()
        if groups != 2:
            raise NotEmulated(f"torch_npu.contrib.module.ChannelShuffle: groups is {groups}, expected 2")
        self.split_shuffle = split_shuffle
        self.group_len = in_channels // groups
        self.out_channels = torch.arange(in_channels).view(groups, self.group_len).t().flatten()
        if split_shuffle:
            self.fp_index1, self.fp_index2 = self.out_channels.chunk(2)
        else:
            self.fp_index = self.out_channels
        self.bp_index1, self.bp_index2 = torch.arange(0, in_channels, 2), torch.arange(1, in_channels, 2)
        self.checked = False

    def check_self(self, x: Tensor) -> None:
        """Moves the indices to the device of a tensor."""
        for name in ("fp_index1", "fp_index2", "fp_index", "bp_index1", "bp_index2"):
            if hasattr(self, name):
                setattr(self, name, getattr(self, name).to(x.device))
        self.checked = True

    def forward(self, x1: Tensor, x2: Tensor) -> Any:
        """Both tensors' channels in turns."""
        if not self.checked or self.bp_index1.device != x1.device:
            self.check_self(x1)
        behind = (self.bp_index1, self.bp_index2)
        if self.split_shuffle:
            return IndexSelectHalfImplementation.apply(x1, x2, self.fp_index1, self.fp_index2, *behind)  # type: ignore[no-untyped-call,unused-ignore]
        return IndexSelectFullImplementation.apply(x1, x2, self.fp_index, *behind)  # type: ignore[no-untyped-call,unused-ignore]


class ModulatedDeformConv(nn.Module):
    """The parameters of a modulated deformable convolution (DCNv2); its ``forward`` is not emulated."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        deformable_groups: int = 1,
        bias: bool = True,
        pack: bool = True,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, _pair(kernel_size)
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        self.deformable_groups, self.with_bias, self.pack = deformable_groups, bias, pack
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *self.kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else torch.zeros(out_channels)
        positions = deformable_groups * self.kernel_size[0] * self.kernel_size[1]
        if pack:
            self.conv_offset = nn.Conv2d(in_channels, 3 * positions, self.kernel_size, _pair(stride), _pair(padding))
        self.split_num = 2 * positions
        # Offsets come as y, x of each position; the operator takes all x, then all y.
        self.sort_index_for_npu_fp = torch.arange(self.split_num).view(-1, 2).t().flip(0).flatten().int()
        self.sort_index_for_npu_bp = self.sort_index_for_npu_fp.argsort().int()
        self.sort_index_for_npu_todevice = False
        self.init_param()

    def init_param(self) -> None:
        """Draws the weight; sets the bias, and the convolution that makes the offsets, to zero."""
        bound = 1 / math.sqrt(self.in_channels * self.kernel_size[0] * self.kernel_size[1])
        with torch.no_grad():
            self.weight.uniform_(-bound, bound)
            self.bias.zero_()
            if self.pack:
                for parameter in self.conv_offset.parameters():
                    parameter.zero_()

    def forward(self, x: Any) -> Tensor:
        """Raises NotEmulated."""
        refuse("torch_npu.contrib.module.ModulatedDeformConv.forward")
