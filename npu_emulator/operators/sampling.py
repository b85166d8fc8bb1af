"""Choosing from logits, and merging the partial results of attention."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from npu_emulator.operators.limits import FLOATS, dimensions, limit, one_of, require, same_type, types
from npu_emulator.operators.precision import wide
from npu_emulator.operators.registry import kernel


@kernel("npu_top_k_top_p")
def top_k_top_p(logits: Tensor, p: Tensor | None = None, k: Tensor | None = None) -> Tensor:
    """[batch, vocabulary] with -inf for all but the k largest, and of these all but the likeliest p."""
    operator = "npu_top_k_top_p"
    types(operator, FLOATS, logits=logits, p=p)
    same_type(operator, logits=logits, p=p)
    types(operator, (torch.int32,), k=k)
    dimensions(operator, 2, 2, logits=logits)
    for name, tensor in (("p", p), ("k", k)):
        if tensor is not None:
            require(list(tensor.shape) == [logits.shape[0]], operator, name, list(tensor.shape), [logits.shape[0]])
    values, order = wide(logits).sort(dim=-1, stable=True)
    if k is not None:
        if k.device.type != "meta" and k.numel():
            fits = int(k.min()) >= 1 and int(k.max()) <= min(1024, logits.shape[1])
            limit(fits, operator, "k", k.tolist(), f"1 to {min(1024, logits.shape[1])}")
        least = values.gather(1, (logits.shape[1] - k.long())[:, None].clamp(0, logits.shape[1] - 1))
        values = values.masked_fill(values < least, -math.inf)
    if p is not None:
        left_out = torch.softmax(values, -1).cumsum(-1) <= 1 - wide(p)[:, None]
        left_out[:, -1] = False
        values = values.masked_fill(left_out, -math.inf)
    return torch.empty_like(values).scatter_(1, order, values).to(logits.dtype)


@kernel("npu_attention_update")
def attention_update(lse: list[Tensor], local_out: list[Tensor], update_type: int) -> tuple[Tensor, Tensor]:
    """Merges results [rows, D] by their log sums of exponentials [rows]; the merged log sums with update_type 1."""
    operator = "npu_attention_update"
    one_of(operator, "update_type", update_type, (0, 1))
    require(len(lse) == len(local_out), operator, "local_out", f"{len(local_out)} long", f"{len(lse)} as lse")
    limit(1 <= len(lse) <= 16, operator, "lse", f"{len(lse)} long", "1 to 16 parts")
    for part, result in zip(lse, local_out, strict=True):
        types(operator, (torch.float32,), lse=part)
        types(operator, FLOATS, local_out=result)
    width = local_out[0].shape[-1]
    limit(8 <= width <= 512 and width % 8 == 0, operator, "the head size", width, "8 to 512, in steps of 8")
    logs = torch.stack(lse)
    merged = torch.logsumexp(logs, 0)
    weights = torch.exp(logs - merged)[..., None]
    result = (weights * torch.stack([wide(part) for part in local_out])).sum(0)
    return result.to(local_out[0].dtype), merged if update_type == 1 else merged.new_empty(0)


@kernel("npu_ring_attention_update", values_decide=True)
def ring_attention_update(
    prev_attn_out: Tensor,
    prev_softmax_max: Tensor,
    prev_softmax_sum: Tensor,
    cur_attn_out: Tensor,
    cur_softmax_max: Tensor,
    cur_softmax_sum: Tensor,
    *,
    actual_seq_qlen: Tensor | None = None,
    input_layout: str = "SBH",
    input_softmax_layout: str = "",
) -> tuple[Tensor, Tensor, Tensor]:
    """Merges two results of attention, SBH or TND, by their row maxima and sums ([B, N, S, 8] or [T, N, 8])."""
    operator = "npu_ring_attention_update"
    types(operator, FLOATS, prev_attn_out=prev_attn_out, cur_attn_out=cur_attn_out)
    one_of(operator, "input_layout", input_layout, ("SBH", "TND"))
    top = torch.maximum(prev_softmax_max, cur_softmax_max)
    prev_scale, cur_scale = torch.exp(prev_softmax_max - top), torch.exp(cur_softmax_max - top)
    total = prev_softmax_sum * prev_scale + cur_softmax_sum * cur_scale
    prev_share, cur_share = prev_softmax_sum * prev_scale / total, cur_softmax_sum * cur_scale / total

    def spread(share: Tensor) -> Tensor:
        if input_layout == "SBH":  # [B, N, S, 8] to [S, B, H]
            width = prev_attn_out.shape[-1] // share.shape[1]
            return share[..., 0].permute(2, 0, 1).repeat_interleave(width, -1)
        if input_softmax_layout == "TND" or actual_seq_qlen is None:
            return share[..., :1]
        # By default the rows of a packed sequence lie head by head within [T, N, 8].
        tokens, heads = share.shape[:2]
        flat, start, parts = share[..., 0].reshape(-1), 0, []
        for end in actual_seq_qlen.tolist():
            if end > start:
                parts.append(flat[start * heads : end * heads].view(heads, end - start).t())
                start = end
        joined = torch.cat(parts)
        return torch.cat((joined, joined.new_zeros(tokens - joined.shape[0], heads)))[..., None]

    result = wide(prev_attn_out) * spread(prev_share) + wide(cur_attn_out) * spread(cur_share)
    return result.to(prev_attn_out.dtype), top, total
