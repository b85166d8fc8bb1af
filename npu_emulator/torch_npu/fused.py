"""The fused operators that libraries call by name, made of torch's own."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_SEQUENCE_FIRST = {"BSND", "BSH", "SBH"}


def _to_heads(tensor: Tensor, layout: str, heads: int) -> Tensor:
    """Any of the layouts as [batch, heads, length, width]."""
    if layout == "SBH":
        tensor = tensor.transpose(0, 1)
    if layout in ("SBH", "BSH"):
        tensor = tensor.view(*tensor.shape[:-1], heads, -1)
    return tensor if layout == "BNSD" else tensor.transpose(1, 2)


def _from_heads(tensor: Tensor, layout: str) -> Tensor:
    if layout == "BNSD":
        return tensor
    tensor = tensor.transpose(1, 2)
    if layout in ("SBH", "BSH"):
        tensor = tensor.flatten(2)
    return tensor.transpose(0, 1) if layout == "SBH" else tensor


def npu_fusion_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    head_num: int,
    input_layout: str,
    pse: Tensor | None = None,
    padding_mask: Tensor | None = None,
    atten_mask: Tensor | None = None,
    scale: float = 1.0,
    keep_prob: float = 1.0,
    pre_tockens: int = 2147483647,
    next_tockens: int = 2147483647,
    inner_precise: int = 0,
    prefix: Any = None,
    actual_seq_qlen: Any = None,
    actual_seq_kvlen: Any = None,
    sparse_mode: int = 0,
    gen_mask_parallel: bool = True,
    sync: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor, int, int, int]:
    """Attention with torch_npu's arguments; ``atten_mask`` is True where a key is left out.

    Returns the output in the layout of ``query``, then the row maxima and sums of the scores
    ([batch, heads, length, 8], float32), an empty tensor and three numbers of the dropout mask.

    Raises:
        NotImplementedError: an argument the emulator does not carry out: variable lengths, prefixes, position
            encodings, sparse modes other than 0.
    """
    unsupported = {
        "pse": pse,
        "prefix": prefix,
        "actual_seq_qlen": actual_seq_qlen,
        "actual_seq_kvlen": actual_seq_kvlen,
    }
    given = [name for name, argument in unsupported.items() if argument is not None]
    if sparse_mode != 0:
        given.append(f"sparse_mode={sparse_mode}")
    if input_layout not in _SEQUENCE_FIRST | {"BNSD"}:
        given.append(f"input_layout={input_layout}")
    if given:
        raise NotImplementedError(f"the emulated npu_fusion_attention does not take {', '.join(given)}")
    kv_heads = key.shape[-1] // (query.shape[-1] // head_num) if input_layout in ("SBH", "BSH") else head_num
    q = _to_heads(query, input_layout, head_num)
    k, v = (_to_heads(tensor, input_layout, kv_heads) for tensor in (key, value))
    keep = None if atten_mask is None else ~atten_mask.bool()
    output = functional.scaled_dot_product_attention(
        q, k, v, attn_mask=keep, dropout_p=1.0 - keep_prob, scale=scale, enable_gqa=k.shape[1] != q.shape[1]
    )
    row_max, row_sum = _row_statistics(q.detach(), k.detach(), keep, scale)
    return _from_heads(output, input_layout), row_max, row_sum, query.new_empty(0), 0, 0, 0


def _row_statistics(q: Tensor, k: Tensor, keep: Tensor | None, scale: float) -> tuple[Tensor, Tensor]:
    k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
    scores = (q.float() @ k.float().transpose(-1, -2)) * scale
    if keep is not None:
        scores = scores.masked_fill(~keep, -math.inf)
    row_max = scores.amax(-1, keepdim=True)
    row_sum = (scores - row_max).exp().sum(-1, keepdim=True)
    return row_max.expand(*row_max.shape[:-1], 8), row_sum.expand(*row_sum.shape[:-1], 8)


def npu_rms_norm(input: Tensor, gamma: Tensor, epsilon: float = 1e-6) -> tuple[Tensor, Tensor]:
    """Root mean square norm over the dimensions of ``gamma``; returns the result and 1 / rms in float32."""
    dims = tuple(range(-gamma.dim(), 0))
    wide = input.float()
    rstd = torch.rsqrt(wide.pow(2).mean(dims, keepdim=True) + epsilon)
    return (wide * rstd).to(input.dtype) * gamma, rstd


def npu_format_cast(tensor: Tensor, acl_format: int, customize_dtype: Any = None) -> Tensor:
    """Returns its argument: host memory has one layout."""
    return tensor
