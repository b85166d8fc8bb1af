"""Holding an operator against its formula in float64, and its gradient against differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# How far a result may be from the formula, relative to its largest value: a few roundings of its type.
BOUNDS = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2, torch.float64: 1e-12}
TYPES = (torch.float32, torch.float16, torch.bfloat16)


def made(*size: int, dtype: torch.dtype = torch.float32, spread: float = 1.0) -> Tensor:
    """Random numbers on the host, exact in ``dtype``."""
    return (torch.randn(*size) * spread).to(dtype)


def close(found: Tensor, formula: Tensor) -> None:
    """Holds a result against its formula's, within the roundings of its type."""
    assert found.device.type == "npu"
    assert found.shape == formula.shape
    if not formula.numel():
        return
    known = formula.isfinite()
    assert torch.equal(found.cpu().double()[~known], formula.double()[~known])
    scale = max(formula[known].abs().max().item(), 1e-6)
    assert (found.cpu().double()[known] - formula[known]).abs().max().item() <= BOUNDS[found.dtype] * scale


def check_gradient(function: Callable[..., Any], *inputs: Tensor) -> None:
    """Holds the gradients of ``function`` of npu tensors against differences, in float64.

    What is differenced stays on the host: only the operators under test meet float64 on the NPU.
    """
    from npu_emulator.operators import limits

    def on_device(*host: Tensor) -> tuple[Tensor, ...]:
        result = function(*(tensor.to("npu") for tensor in host))
        results = result if isinstance(result, tuple) else (result,)
        return tuple(part.cpu() for part in results)

    leaves = [tensor.double().requires_grad_() for tensor in inputs]
    with limits.lifted():
        assert torch.autograd.gradcheck(on_device, leaves, eps=1e-6, atol=1e-5, rtol=1e-3, nondet_tol=0.0)
