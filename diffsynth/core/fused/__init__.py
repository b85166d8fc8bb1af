"""What networks compute beside matmuls, attention and convolutions, in as few passes as a device can.

A kernel of Triton computes it on NVIDIA and AMD, torch_npu on Ascend, else torch alone. DIFFSYNTH_FUSED_OPERATORS names
one of "triton", "torch_npu" and "torch" instead. Compiled code takes torch's, which its compiler fuses by itself. All
of them compute in float32, whatever type the tokens have; they differ by what is rounded in between: by 2e-6 of the
largest value in float32, and by 3 units in the last place in a type of 16 bits.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import os
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffsynth.core.attention.attention import attention
from diffsynth.core.device.device_types import CPU, CUDA, NPU
from diffsynth.core.fused import plain

VARIABLE = "DIFFSYNTH_FUSED_OPERATORS"
MODULES = {
    "triton": "diffsynth.core.fused.triton_kernels",
    "torch_npu": "diffsynth.core.fused.ascend",
    "torch": "diffsynth.core.fused.plain",
}
# What a device takes where it is installed.
OF_DEVICE = {CUDA: "triton", NPU: "torch_npu"}

logger = logging.getLogger(__name__)


class FusedOperatorsError(ValueError):
    """What DIFFSYNTH_FUSED_OPERATORS asks for is unknown or not installed."""


class Operators(Protocol):
    """What each of `MODULES` has; see the functions of the same names below."""

    def modulated(self, tokens: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor: ...

    def gated(self, tokens: Tensor, update: Tensor, gate: Tensor) -> Tensor: ...

    def normed_and_activated(self, frames: Tensor, weight: Tensor, eps: float) -> Tensor: ...

    def normed_and_rotated(
        self, tokens: Tensor, weight: Tensor, eps: float, head_dim: int, cos: Tensor, sin: Tensor
    ) -> Tensor: ...

    def rms_normed(self, tokens: Tensor, gain: Tensor, eps: float) -> Tensor: ...

    def added_rms_normed(self, tokens: Tensor, update: Tensor, gain: Tensor, eps: float) -> Tensor: ...

    def swiglu(self, gate: Tensor, values: Tensor) -> Tensor: ...


def modulated(tokens: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
    """A layer norm without weights, times ``1 + scale`` plus ``shift``.

    Args:
        tokens: (B, S, dim).
        shift, scale: (B, dim), of the tokens' type or float32.

    Returns:
        The shape and type of `tokens`.
    """
    return _of(tokens).modulated(tokens, shift, scale, eps)


def gated(tokens: Tensor, update: Tensor, gate: Tensor) -> Tensor:
    """Tokens (B, S, dim) plus `gate` (B, dim) times the update (B, S, dim); in the type of `tokens`."""
    return _of(tokens).gated(tokens, update, gate)


def normed_and_rotated(tokens: Tensor, weight: Tensor, eps: float, head_dim: int, cos: Tensor, sin: Tensor) -> Tensor:
    """An RMS norm, then a rotary embedding of each head.

    Args:
        tokens: (B, S, heads * head_dim).
        weight: of the norm, which is over as many channels: those of a head, or of all heads together.
        cos, sin: (S, 1, head_dim), each number twice, once for either channel of its pair of neighbours; float32.

    Returns:
        (B, S, heads, head_dim), in the type of `tokens`.
    """
    return _of(tokens).normed_and_rotated(tokens, weight, eps, head_dim, cos, sin)


def normed_and_activated(frames: Tensor, weight: Tensor, eps: float) -> Tensor:
    """SiLU of an RMS norm over the last axis, whose channels `weight` (channels,) scales; in the type of `frames`."""
    return _of(frames).normed_and_activated(frames, weight, eps)


def rms_normed(tokens: Tensor, gain: Tensor, eps: float) -> Tensor:
    """An RMS norm of tokens (B, S, dim), whose channels `gain` scales: (dim,), or (B, dim); in the type of `tokens`."""
    return _of(tokens).rms_normed(tokens, gain, eps)


def added_rms_normed(tokens: Tensor, update: Tensor, gain: Tensor, eps: float) -> Tensor:
    """Tokens (B, S, dim) plus the RMS norm of an update of their shape, scaled by `gain`; in the type of `tokens`."""
    return _of(tokens).added_rms_normed(tokens, update, gain, eps)


def swiglu(gate: Tensor, values: Tensor) -> Tensor:
    """SiLU of the gate times the values, of one shape and type. Without gradients, either may be written over."""
    return _of(gate).swiglu(gate, values)


def gelu_of_linear(linear: nn.Module, tokens: Tensor) -> Tensor:
    """The tanh form of GELU of a linear layer's output; where the device can, computed before that is written.

    Args:
        linear: an nn.Linear, or what a training has put in its place.
    """
    if isinstance(linear, nn.Linear) and _is_epilogue(linear, tokens):
        flat = torch._addmm_activation(linear.bias, tokens.flatten(0, -2), linear.weight.t(), use_gelu=True)
        return torch.unflatten(flat, 0, tokens.shape[:-1])
    return F.gelu(linear(tokens), approximate="tanh")


def _is_epilogue(linear: nn.Linear, tokens: Tensor) -> bool:
    """Whether cublasLt computes both at once; there is no gradient of that, and no hook would see the layer run."""
    return (
        tokens.device.type == CUDA  # is_cuda is true of what CUDA's calls are sent to as well
        and torch.version.hip is None
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and type(linear) is nn.Linear
        and not (linear._forward_hooks or linear._forward_pre_hooks)
        and linear._parameters["bias"] is not None
        and tokens.dtype == linear.weight.dtype
        and not torch.is_autocast_enabled(tokens.device.type)
    )


def fused_operators(device_type: str) -> str:
    """Who computes them on such a device: a name of `MODULES`.

    Raises:
        FusedOperatorsError: DIFFSYNTH_FUSED_OPERATORS cannot be followed.
    """
    return _choose(device_type, os.environ.get(VARIABLE))


def operators_of(tokens: Tensor, fused: bool = True) -> Operators:
    """All of them, as the tokens' device computes them; torch's own unless `fused`."""
    return _of(tokens) if fused else cast(Operators, plain)


def use_fused(network: nn.Module, fused: bool) -> None:
    """Whether layers of a network that can be told so take a device's operators."""
    for layer in network.modules():
        if isinstance(layer, OwnOperators):
            layer.fused = fused


class OwnOperators:
    """A layer that can be told whether it computes by the device's own operators.

    Attributes:
        fused: whether it does.
    """

    fused: bool = True


class RMSNorm(nn.RMSNorm, OwnOperators):
    """torch's, computed by these operators."""

    eps: float

    def __init__(self, width: int, eps: float) -> None:
        super().__init__(width, eps)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, S, dim) to the same shape and type."""
        return operators_of(tokens, self.fused).rms_normed(tokens, self.weight, self.eps)


def _of(tokens: Tensor) -> Operators:
    if torch.compiler.is_compiling():
        return cast(Operators, plain)
    return _load(fused_operators(tokens.device.type))


@functools.cache
def _choose(device_type: str, asked: str | None) -> str:
    if asked:
        if asked not in MODULES:
            raise FusedOperatorsError(f"{VARIABLE}={asked!r}: expected one of {', '.join(MODULES)}, or nothing")
        if not _is_installed(asked):
            raise FusedOperatorsError(f"{VARIABLE}={asked!r}: {asked} is not installed; unset the variable")
        return asked
    name = OF_DEVICE.get(device_type, "torch")
    if name == "torch" or not _is_installed(name):
        return "torch"
    try:
        _try_out(_load(name), device_type)
    except Exception as error:  # no compiler, an older operator: whatever it is, torch computes the same
        logger.warning("%s is installed but cannot be used (%s: %s)", name, type(error).__name__, error)
        return "torch"
    # One that only stands in for a vendor's package is no faster than torch.
    return "torch" if getattr(importlib.import_module(name), "__emulated__", False) else name


@torch.no_grad()
def _try_out(operators: Operators, device_type: str) -> None:
    """Raises where they cannot be compiled or called there."""
    tokens = torch.zeros(1, 2, 32, device=device_type)
    row, table = tokens[:, 0], torch.zeros(2, 1, 16, device=device_type)
    tokens = operators.modulated(tokens, row, row, 1e-6)
    operators.gated(tokens, tokens, row)
    operators.normed_and_rotated(tokens, row[0], 1e-6, 16, table, table)
    operators.swiglu(operators.added_rms_normed(tokens, operators.rms_normed(tokens, row, 1e-6), row, 1e-6), tokens)


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


@functools.cache
def _load(name: str) -> Operators:
    return cast(Operators, importlib.import_module(MODULES[name]))


_TOKENS = 16


@torch.no_grad()
def warm_up(device: torch.device, dtype: torch.dtype, *, dim: int, head_dim: int, normed: int) -> None:
    """Computes a few tokens of made-up values as a block of a transformer would. Nothing on the CPU.

    Args:
        dim: width of the tokens.
        head_dim: width of a head.
        normed: how many channels the RMS norms of queries and keys take together.
    """
    if device.type == CPU:
        return
    tokens = torch.zeros(1, _TOKENS, dim, device=device, dtype=dtype)
    table = torch.zeros(_TOKENS, 1, head_dim, device=device)
    for rows in (torch.zeros(1, dim, device=device), torch.zeros(1, dim, device=device, dtype=dtype)):
        gated(modulated(tokens, rows, rows, 1e-6), tokens, rows)
    weight = torch.ones(normed, device=device, dtype=dtype)
    heads = normed_and_rotated(tokens, weight, 1e-6, head_dim, table, table)
    attention(heads, heads, heads)
    if device.type == CUDA:
        linear = nn.utils.skip_init(nn.Linear, dim, head_dim, device=device, dtype=dtype)  # type: ignore[no-untyped-call]
        gelu_of_linear(linear, tokens)
    image = torch.zeros(1, 16, 8, 8, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
    F.conv2d(image, torch.zeros(16, 16, 3, 3, device=device, dtype=dtype), padding=1)
