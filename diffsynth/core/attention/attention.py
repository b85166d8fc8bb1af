"""The one function through which every network attends, and which kernel computes it.

Without an override, the first of AUTOMATIC that is installed and takes the tensors. Only exact kernels stand there:
sage_attention quantises. xformers brings the kernels torch has, so it is for who asks for it by name.

DIFFSYNTH_ATTENTION_IMPLEMENTATION names one instead. It is an error if that one is unknown, cannot be loaded or does
not run on the device. Where it does not take the element type, the width of the heads or the mask of a call, which in
one pipeline differ from network to network, torch computes that call, and a warning says so once.
"""

from __future__ import annotations

import functools
import logging
import operator
import os
import sys

import torch
from torch import Tensor

from diffsynth.core.attention.implementations import IMPLEMENTATIONS, Kernel

VARIABLE = "DIFFSYNTH_ATTENTION_IMPLEMENTATION"
AUTOMATIC = ("flash_attention_3", "flash_attention_4", "flash_attention_2", "npu_fusion_attention", "torch")

KERNELS: dict[str, Kernel] = {}

logger = logging.getLogger(__name__)


def attention(query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """Softmax of the products of queries and keys, scaled by 1 / sqrt(head_dim), over the keys, times the values.

    Args:
        query: (batch, length, heads, head_dim).
        key, value: (batch, key length, heads, head_dim).
        mask: broadcastable to (batch, heads, length, key length). Of bool, True where a key takes part; else added to
            the scaled products.

    Returns:
        (batch, length, heads, head_dim), in the type of the query.

    Raises:
        AttentionImplementationError: DIFFSYNTH_ATTENTION_IMPLEMENTATION names what is unknown or cannot run here.
    """
    mask_dtype = None if mask is None else mask.dtype
    head_dim = operator.index(query.shape[-1])  # compiled for any shapes, torch 2.7 has any head too
    name = chosen_implementation(query.device.type, query.dtype, head_dim, mask_dtype)
    return KERNELS[name](query, key, value, mask)


class AttentionImplementationError(ValueError):
    """The attention implementation asked for is unknown or cannot run here."""


def chosen_implementation(
    device: str | torch.device, dtype: torch.dtype, head_dim: int, mask_dtype: torch.dtype | None = None
) -> str:
    """Name of the implementation that computes such calls, which from now on is in KERNELS.

    Args:
        mask_dtype: type of the mask, None for calls without one.

    Raises:
        AttentionImplementationError: DIFFSYNTH_ATTENTION_IMPLEMENTATION cannot be followed.
    """
    device_type = device if isinstance(device, str) and ":" not in device else torch.device(device).type
    return _choose(device_type, dtype, head_dim, mask_dtype, os.environ.get(VARIABLE))


# Compiled code takes the choice of the moment it is compiled in; it can hold a name, and no function. This is what
# torch.compiler.assume_constant_result sets, without the two seconds it takes to import the compiler.
chosen_implementation._dynamo_marked_constant = True  # type: ignore[attr-defined]


@functools.cache
def _choose(
    device_type: str, dtype: torch.dtype, head_dim: int, mask_dtype: torch.dtype | None, override: str | None
) -> str:
    """Decided, and said in the log, once for each kind of call."""
    call = torch.device(device_type), dtype, head_dim, mask_dtype
    name = _overriding(override, *call) if override else _best(*call)
    mask = "" if mask_dtype is None else f", with a {mask_dtype} mask"
    logger.info("attention on %s, %s, heads of %d%s: %s", device_type, dtype, head_dim, mask, name)
    return name


def _best(device: torch.device, dtype: torch.dtype, head_dim: int, mask_dtype: torch.dtype | None) -> str:
    for name in AUTOMATIC:
        candidate = IMPLEMENTATIONS[name]
        unfit = candidate.why_not_on(device) or candidate.why_not_for(dtype, head_dim, mask_dtype)
        if unfit or candidate.why_not_installed():
            continue
        try:
            _load(name)
        except Exception as error:  # whatever a kernel's package raises, there is another
            logger.warning("%s is installed but cannot be used (%s: %s)", name, type(error).__name__, error)
            continue
        # One that only stands in for a vendor's package is no better than torch's own, and dearer.
        if not getattr(sys.modules.get(candidate.module), "__emulated__", False):
            return name
    raise AssertionError("torch takes everything")


def _overriding(
    override: str, device: torch.device, dtype: torch.dtype, head_dim: int, mask_dtype: torch.dtype | None
) -> str:
    asked = f"{VARIABLE}={override!r}"
    chosen = IMPLEMENTATIONS.get(override)
    if chosen is None:
        raise AttentionImplementationError(f"{asked}: expected one of {', '.join(IMPLEMENTATIONS)}, or nothing")
    why_not = chosen.why_not_installed() or chosen.why_not_on(device)
    if why_not:
        raise AttentionImplementationError(
            f"{asked} cannot be used on {device.type}: {why_not}; unset the variable to have the best one there is"
        )
    try:
        _load(override)
    except Exception as error:  # whatever a kernel's package raises
        raise AttentionImplementationError(f"{asked} cannot be loaded: {type(error).__name__}: {error}") from error
    unfit = chosen.why_not_for(dtype, head_dim, mask_dtype)
    if not unfit:
        return override
    logger.warning("%s: torch computes these calls instead, since %s", asked, unfit)
    _load("torch")
    return "torch"


def _load(name: str) -> None:
    if name not in KERNELS:
        KERNELS[name] = IMPLEMENTATIONS[name].load()
