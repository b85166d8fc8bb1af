"""The one function through which every network attends."""

from __future__ import annotations

from torch import Tensor

from diffsynth.core.attention.choice import KERNELS, chosen_implementation


def attention(
    query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """Softmax of the scaled products of queries and keys, over the keys, times the values.

    Args:
        query: (batch, length, heads, head_dim).
        key, value: (batch, key length, heads, head_dim).
        mask: broadcastable to (batch, heads, length, key length). Of bool, True where a key takes part; else added to
            the scaled products.
        scale: of the products; 1 / sqrt(head_dim) where it is None.

    Returns:
        (batch, length, heads, head_dim), in the type of the query.

    Raises:
        AttentionImplementationError: DIFFSYNTH_ATTENTION_IMPLEMENTATION names what is unknown or cannot run here.
    """
    mask_dtype = None if mask is None else mask.dtype
    name = chosen_implementation(query.device.type, query.dtype, query.shape[-1], mask_dtype)
    return KERNELS[name](query, key, value, mask, scale)
