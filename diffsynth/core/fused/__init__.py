"""What networks compute beside matmuls, attention and convolutions, in as few passes as a device can.

A kernel of Triton computes it on NVIDIA and AMD, torch_npu on Ascend, else torch alone. DIFFSYNTH_FUSED_OPERATORS names
one of "triton", "torch_npu" and "torch" instead. Compiled code takes torch's, which its compiler fuses by itself. All
of them compute in float32, whatever type the tokens have; they differ by what is rounded in between: by 2e-6 of the
largest value in float32, and by 3 units in the last place in a type of 16 bits.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffsynth.core.attention.attention import attention
from diffsynth.core.attention.implementations import is_installed
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

Operator = TypeVar("Operator", bound=Callable[..., Tensor])

logger = logging.getLogger(__name__)


class FusedOperatorsError(ValueError):
    """What DIFFSYNTH_FUSED_OPERATORS asks for is unknown or not installed."""


def _by_device(operator: Operator) -> Operator:
    """An operator of `plain`, computed as the device of its first tensor does it."""

    @functools.wraps(operator)
    def computed(tokens: Tensor, *others: Any, **named: Any) -> Any:
        return getattr(operators_of(tokens), operator.__name__)(tokens, *others, **named)

    return computed  # type: ignore[return-value]


added_rms_normed = _by_device(plain.added_rms_normed)
gated = _by_device(plain.gated)
modulated = _by_device(plain.modulated)
normed_and_activated = _by_device(plain.normed_and_activated)
normed_and_rotated = _by_device(plain.normed_and_rotated)
rms_normed = _by_device(plain.rms_normed)
swiglu = _by_device(plain.swiglu)


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


def operators_of(tokens: Tensor, fused: bool = True) -> ModuleType:
    """What has all functions of `plain`, as the tokens' device computes them; torch's own unless `fused`."""
    if not fused or torch.compiler.is_compiling():
        return plain
    return _load(fused_operators(tokens.device.type))


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
        normed: Tensor = operators_of(tokens, self.fused).rms_normed(tokens, self.weight, self.eps)
        return normed


@functools.cache
def _choose(device_type: str, asked: str | None) -> str:
    if asked:
        if asked not in MODULES:
            raise FusedOperatorsError(f"{VARIABLE}={asked!r}: expected one of {', '.join(MODULES)}, or nothing")
        if not is_installed(asked):
            raise FusedOperatorsError(f"{VARIABLE}={asked!r}: {asked} is not installed; unset the variable")
        return asked
    name = OF_DEVICE.get(device_type, "torch")
    if name == "torch" or not is_installed(name):
        return "torch"
    try:
        _try_out(_load(name), device_type)
    except Exception as error:  # no compiler, an older operator: whatever it is, torch computes the same
        logger.warning("%s is installed but cannot be used (%s: %s)", name, type(error).__name__, error)
        return "torch"
    # One that only stands in for a vendor's package is no faster than torch.
    return "torch" if getattr(importlib.import_module(name), "__emulated__", False) else name


@torch.no_grad()
def _try_out(operators: ModuleType, device_type: str) -> None:
    """Raises where they cannot be compiled or called there."""
    tokens = torch.zeros(1, 2, 32, device=device_type)
    row, table = tokens[:, 0], torch.zeros(2, 1, 16, device=device_type)
    tokens = operators.modulated(tokens, row, row, 1e-6)
    operators.gated(tokens, tokens, row)
    operators.normed_and_rotated(tokens, row[0], 1e-6, 16, table, table)
    operators.swiglu(operators.added_rms_normed(tokens, operators.rms_normed(tokens, row, 1e-6), row, 1e-6), tokens)


@functools.cache
def _load(name: str) -> ModuleType:
    return importlib.import_module(MODULES[name])


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
