"""Mixtures of experts: choosing experts, sorting tokens by them, and putting the results together again."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from npu_emulator.operators.limits import (
    FLOATS,
    dimensions,
    limit,
    newest_line,
    one_of,
    refuse,
    require,
    same_type,
    types,
)
from npu_emulator.operators.precision import wide
from npu_emulator.operators.quantization import dynamic_scale, rounded_to_int8
from npu_emulator.operators.registry import derivative, kernel

INDICES = (torch.int32, torch.int64)


@kernel("npu_moe_gating_top_k")
def gating_top_k(
    x: Tensor,
    k: int,
    *,
    bias: Tensor | None = None,
    input_ids: Tensor | None = None,
    tid2eid: Tensor | None = None,
    k_group: int = 1,
    group_count: int = 1,
    group_select_mode: int = 0,
    renorm: int = 0,
    norm_type: int = 0,
    out_flag: bool = False,
    routed_scaling_factor: float = 1.0,
    eps: float = 1e-20,
) -> tuple[Tensor, Tensor, Tensor]:
    """Weights [T, k] of the k experts chosen from [T, experts], their numbers in int32, and what was chosen from.

    Experts are chosen by softmax (``norm_type`` 0) or sigmoid (1) plus ``bias``, from the ``k_group`` best groups: by
    their best expert, or by the sum of their two best (``group_select_mode`` 1).
    """
    operator = "npu_moe_gating_top_k"
    _check_gating(operator, x, k, bias, k_group, group_count)
    one_of(operator, "group_select_mode", group_select_mode, (0, 1))
    one_of(operator, "norm_type", norm_type, (0, 1))
    limit(renorm == 0, operator, "renorm", renorm, 0)
    scores = torch.sigmoid(wide(x)) if norm_type == 1 else torch.softmax(wide(x), -1)
    if tid2eid is not None and input_ids is not None:
        experts = tid2eid[input_ids.long()].long()
    else:
        ranked = scores if bias is None else scores + wide(bias)
        experts = _top(_of_best_groups(ranked, k_group, group_count, group_select_mode), k)
    weights = scores.gather(1, experts)
    if norm_type == 1:
        weights = weights / (weights.sum(-1, keepdim=True) + eps)
    chosen_from = scores.float() if out_flag else scores.new_empty(0, dtype=torch.float32)
    return (weights * routed_scaling_factor).to(x.dtype), experts.int(), chosen_from


def _check_gating(operator: str, x: Tensor, k: int, bias: Tensor | None, k_group: int, group_count: int) -> None:
    types(operator, FLOATS, x=x, bias=bias)
    same_type(operator, x=x, bias=bias)
    dimensions(operator, 2, 2, x=x)
    experts = x.shape[-1]
    limit(experts <= 2048, operator, "the number of experts", experts, "at most 2048")
    fits = group_count > 0 and experts % group_count == 0
    require(fits, operator, "group_count", group_count, f"a divisor of the {experts} experts")
    if group_count > 1:
        limit(experts // group_count > 2, operator, "the experts of a group", experts // group_count, "more than 2")
    require(1 <= k_group <= group_count, operator, "k_group", k_group, f"1 to group_count, {group_count}")
    most = experts // group_count * k_group
    require(1 <= k <= most, operator, "k", k, f"1 to {most}")
    if bias is not None:
        require(list(bias.shape) == [experts], operator, "bias", list(bias.shape), [experts])


def _of_best_groups(scores: Tensor, k_group: int, group_count: int, mode: int) -> Tensor:
    """The scores, -inf for experts of other groups."""
    if group_count == 1:
        return scores
    grouped = torch.unflatten(scores, -1, (group_count, -1))
    strength = grouped.amax(-1) if mode == 0 else grouped.topk(2, -1)[0].sum(-1)
    best = torch.zeros_like(strength, dtype=torch.bool).scatter_(1, _top(strength, k_group), True)
    return grouped.masked_fill(~best[..., None], -math.inf).flatten(-2)


def _top(scores: Tensor, k: int) -> Tensor:
    """Indices of the k largest, the earlier first where they are equal."""
    return scores.sort(dim=-1, descending=True, stable=True)[1][..., :k]


def _top_k_softmax(operator: str, x: Tensor, finished: Tensor | None, k: int) -> tuple[Tensor, Tensor, Tensor]:
    types(operator, FLOATS, x=x)
    types(operator, (torch.bool,), finished=finished)
    dimensions(operator, 2, 3, x=x)
    require(0 < k <= x.shape[-1], operator, "k", k, f"1 to {x.shape[-1]}")
    limit(k <= 1024, operator, "k", k, "at most 1024")
    scores = torch.softmax(wide(x), -1)
    experts = _top(scores, k)
    weights = scores.gather(-1, experts)
    if finished is not None:
        require(finished.shape == x.shape[:-1], operator, "finished", list(finished.shape), list(x.shape[:-1]))
        experts = torch.where(finished[..., None], x.shape[-1], experts)
    return weights, experts.int(), scores


@kernel("npu_moe_gating_top_k_softmax")
def gating_top_k_softmax(x: Tensor, finished: Tensor | None = None, k: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """The k largest of the softmax of [..., experts], their experts, and each one's row when sorted expert by expert.

    Rows that are ``finished`` name the expert behind the last.
    """
    weights, experts, _ = _top_k_softmax("npu_moe_gating_top_k_softmax", x, finished, k)
    rows = weights[..., 0].numel()
    numbers = torch.arange(rows * k, dtype=torch.int32, device=x.device).view(k, rows).t().contiguous()
    return weights.to(x.dtype), experts, numbers.view(experts.shape)


@kernel("npu_moe_gating_top_k_softmax_v2")
def gating_top_k_softmax_v2(
    x: Tensor,
    *,
    k: int = 1,
    finished: Tensor | None = None,
    renorm: int | None = 0,
    output_softmax: bool | None = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """The k largest of the softmax (of the k largest alone with ``renorm`` 1), their experts, and the softmax."""
    operator = "npu_moe_gating_top_k_softmax_v2"
    one_of(operator, "renorm", renorm, (0, 1))
    weights, experts, scores = _top_k_softmax(operator, x, finished, k)
    if renorm == 1:
        weights = weights / weights.sum(-1, keepdim=True)
    softmax = scores.float() if output_softmax and not renorm else scores.new_empty(0, dtype=torch.float32)
    return weights.to(x.dtype), experts, softmax


@kernel("npu_moe_compute_expert_tokens")
def compute_expert_tokens(sorted_expert_for_source_row: Tensor, num_expert: int) -> Tensor:
    """[num_expert]: how many rows belong to an expert or one before it."""
    operator = "npu_moe_compute_expert_tokens"
    types(operator, (torch.int32,), sorted_expert_for_source_row=sorted_expert_for_source_row)
    dimensions(operator, 1, 1, sorted_expert_for_source_row=sorted_expert_for_source_row)
    experts = torch.arange(num_expert, dtype=torch.int32, device=sorted_expert_for_source_row.device)
    return torch.searchsorted(sorted_expert_for_source_row, experts, right=True).int()


@kernel("npu_moe_init_routing")
def init_routing(x: Tensor, row_idx: Tensor, expert_idx: Tensor, active_num: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of x [T, H] sorted by expert, where each row of ``row_idx`` went, and the sorted experts."""
    operator = "npu_moe_init_routing"
    types(operator, FLOATS, x=x)
    types(operator, (torch.int32,), row_idx=row_idx, expert_idx=expert_idx)
    dimensions(operator, 2, 2, x=x, row_idx=row_idx, expert_idx=expert_idx)
    require(row_idx.shape == expert_idx.shape, operator, "row_idx", list(row_idx.shape), list(expert_idx.shape))
    rows, k = expert_idx.shape
    experts, order = expert_idx.flatten().sort(stable=True)
    source = row_idx.flatten()[order].long()
    numbers = torch.arange(rows * k, dtype=torch.int32, device=x.device)
    went_to = torch.zeros_like(numbers).scatter_(0, source, numbers)
    return x[source[: min(active_num, rows) * k] % rows], went_to, experts


def _sorted_by_expert(expert_idx: Tensor, first: int, last: int) -> tuple[Tensor, Tensor, int]:
    """Order of the entries by expert, the sorted experts, and how many are from ``first`` up to ``last``."""
    experts = expert_idx.flatten().long()
    active = (experts >= first) & (experts < last)
    sorted_experts, order = torch.where(active, experts, 2**31 - 1).sort(stable=True)
    return order, sorted_experts, int(active.sum())


def _token_counts(counts: Tensor, first: int, kind: int, experts: int) -> Tensor:
    """Sums (0), sizes (1), or pairs of expert and size for those that have tokens (2)."""
    if kind == 0:
        return counts.cumsum(0)
    if kind == 1:
        return counts
    used = counts.nonzero().flatten()
    pairs = torch.stack((used + first, counts[used]), -1)
    return torch.cat((pairs, pairs.new_zeros(experts - len(pairs), 2)))


@kernel("npu_moe_init_routing_v2", values_decide=True)
def init_routing_v2(
    x: Tensor,
    expert_idx: Tensor,
    *,
    scale: Tensor | None = None,
    offset: Tensor | None = None,
    active_num: int = -1,
    expert_capacity: int = -1,
    expert_num: int = -1,
    drop_pad_mode: int = 0,
    expert_tokens_num_type: int = 0,
    expert_tokens_num_flag: bool = False,
    quant_mode: int = -1,
    active_expert_range: list[int] = [],  # noqa: B006
    row_idx_type: int = 0,
    x_dtype: int | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rows of x [T, H] for experts [T, k], sorted by expert; where each went (or came from); tokens an expert; scales.

    ``drop_pad_mode`` 1 gives [experts, capacity, H]: what an expert has too many is dropped, what it lacks is zero.
    ``quant_mode`` -1: none; 0: by scale and offset; 1: by each row's largest value.
    """
    operator = "npu_moe_init_routing_v2"
    _check_routing(operator, x, expert_idx, scale, offset, quant_mode, drop_pad_mode, expert_tokens_num_type)
    first, last = active_expert_range or (0, expert_num)
    fits = 0 <= first < last <= expert_num
    require(fits, operator, "active_expert_range", [first, last], f"within 0 to expert_num, {expert_num}")
    rows, k = expert_idx.shape
    order, experts, active = _sorted_by_expert(expert_idx, first, last)
    counts = torch.bincount(experts[:active] - first, minlength=last - first)
    tokens = counts.new_empty(0)
    if expert_tokens_num_flag:
        tokens = counts if drop_pad_mode == 1 else _token_counts(counts, first, expert_tokens_num_type, expert_num)
    if drop_pad_mode == 1:
        require(0 < expert_capacity <= rows, operator, "expert_capacity", expert_capacity, f"1 to {rows}")
        order, experts, slots = _within_capacity(order, experts, counts, expert_capacity)
        went_to = torch.full((rows * k,), -1, dtype=torch.int32).scatter_(0, order, slots.int())
    else:
        slots = torch.arange(active)
        kept = active if active_num in (0, -1) else min(active_num, active)
        if row_idx_type == 1:
            went_to = order.int()
        else:
            went_to = torch.full((rows * k,), -1, dtype=torch.int32).scatter_(0, order[:active], slots.int())
        order, experts, slots = order[:kept], experts[:kept], slots[:kept]
    sources = order // k
    result, scales = _quantized_rows(x[sources], sources, experts - first, scale, offset, quant_mode)
    if drop_pad_mode == 1:
        size = expert_num * expert_capacity
        result = result.new_zeros(size, x.shape[1]).index_copy_(0, slots, result)
        result = result.view(expert_num, expert_capacity, -1)
        scales = scales.new_zeros(size).index_copy_(0, slots, scales) if scales.numel() else scales
    elif active_num in (0, -1):
        result = torch.cat((result, result.new_zeros(rows * k - len(result), x.shape[1])))
    return result, went_to, tokens, scales


def _check_routing(
    operator: str,
    x: Tensor,
    expert_idx: Tensor,
    scale: Tensor | None,
    offset: Tensor | None,
    quant_mode: int,
    drop_pad_mode: int,
    counts: int,
) -> None:
    types(operator, (*FLOATS, torch.int8), x=x)
    types(operator, (torch.int32,), expert_idx=expert_idx)
    types(operator, (torch.float32,), scale=scale, offset=offset)
    dimensions(operator, 2, 2, x=x, expert_idx=expert_idx)
    require(x.shape[0] == expert_idx.shape[0], operator, "the rows of expert_idx", expert_idx.shape[0], x.shape[0])
    one_of(operator, "drop_pad_mode", drop_pad_mode, (0, 1))
    one_of(operator, "expert_tokens_num_type", counts, (0, 1, 2))
    limit(quant_mode in (-1, 0, 1), operator, "quant_mode", quant_mode, "-1, 0 or 1")
    if quant_mode == 0:
        both = scale is not None and offset is not None
        require(both, operator, "scale and offset", "missing", "one number each for quant_mode 0")
    else:
        limit(offset is None, operator, "offset", "given", f"None for quant_mode {quant_mode}")


def _within_capacity(order: Tensor, experts: Tensor, counts: Tensor, capacity: int) -> tuple[Tensor, Tensor, Tensor]:
    """The entries that fit their expert's places, and the places."""
    total = int(counts.sum())
    order, experts = order[:total], experts[:total]
    place = torch.arange(total) - (counts.cumsum(0) - counts)[experts]
    fits = place < capacity
    return order[fits], experts[fits], experts[fits] * capacity + place[fits]


def _quantized_rows(
    rows: Tensor, sources: Tensor, experts: Tensor, scale: Tensor | None, offset: Tensor | None, mode: int
) -> tuple[Tensor, Tensor]:
    empty = torch.empty(0, dtype=torch.float32)
    if mode == -1:
        return rows, empty if scale is None else scale[sources]
    if mode == 0:
        assert scale is not None
        assert offset is not None
        return rounded_to_int8(wide(rows) * scale + offset), empty
    values = wide(rows)
    if scale is not None:
        values = values * (scale if scale.shape[0] == 1 else scale[experts])
    scaled, scales = dynamic_scale(values, 127)
    return rounded_to_int8(scaled), scales


@kernel("npu_moe_finalize_routing")
def finalize_routing(
    expanded_permuted_rows: Tensor,
    skip1: Tensor | None,
    skip2: Tensor | None,
    bias: Tensor | None,
    scales: Tensor | None,
    expanded_src_to_dst_row: Tensor,
    export_for_source_row: Tensor | None,
    drop_pad_mode: int | None = 0,
    k: int | None = 1,
) -> Tensor:
    """[T, H]: skip1 + skip2 + the sum over a token's experts of scale * (their row + their bias).

    ``expanded_src_to_dst_row`` goes expert by expert (``drop_pad_mode`` 0, 1) or token by token (2, 3); -1 is a row
    that was dropped (1, 3).
    """
    operator = "npu_moe_finalize_routing"
    rows, places = expanded_permuted_rows, expanded_src_to_dst_row
    types(operator, FLOATS, expanded_permuted_rows=rows)
    same_type(operator, expanded_permuted_rows=rows, skip1=skip1, skip2=skip2, bias=bias, scales=scales)
    types(operator, (torch.int32,), expanded_src_to_dst_row=places, expert_for_source_row=export_for_source_row)
    limit(skip1 is not None or skip2 is None, operator, "skip2", "given", "None without skip1")
    mode = drop_pad_mode or 0
    one_of(operator, "drop_pad_mode", mode, (0, 1, 2, 3))
    dimensions(operator, *((3, 3) if mode % 2 else (2, 2)), expanded_permuted_rows=rows)
    each = scales.shape[1] if scales is not None else (k or 1)
    require(places.numel() % each == 0, operator, "expanded_src_to_dst_row", places.numel(), f"a multiple of {each}")
    tokens = places.numel() // each
    by_token = places.long().view(each, tokens).t() if mode < 2 else places.long().view(tokens, each)
    picked = wide(rows).reshape(-1, rows.shape[-1])[by_token.clamp(min=0)]
    picked = torch.where((by_token < 0)[..., None], 0.0, picked)
    if bias is not None:
        require(export_for_source_row is not None, operator, "expert_for_source_row", None, "a tensor with bias")
        assert export_for_source_row is not None
        picked = picked + wide(bias)[export_for_source_row.long()]
    if scales is not None:
        picked = picked * wide(scales)[..., None]
    result = picked.sum(1)
    for skip in (skip1, skip2):
        if skip is not None:
            require(skip.shape == result.shape, operator, "a skip", list(skip.shape), list(result.shape))
            result = result + wide(skip)
    return result.to(rows.dtype)


def _kept(count: int, num_out_tokens: int | None) -> int:
    if not num_out_tokens:
        return count
    return min(count, num_out_tokens) if num_out_tokens > 0 else max(0, count + num_out_tokens)


@kernel("npu_moe_token_permute")
def token_permute(
    tokens: Tensor, indices: Tensor, num_out_tokens: int | None = None, padded_mode: bool = False
) -> tuple[Tensor, Tensor]:
    """Rows of tokens [T, H] repeated for their experts [T, k] (or [T]) and sorted by them, and where each went."""
    operator = "npu_moe_token_permute"
    types(operator, (*FLOATS, torch.int8) if newest_line() else FLOATS, tokens=tokens)
    types(operator, INDICES, indices=indices)
    dimensions(operator, 2, 2, tokens=tokens)
    dimensions(operator, 1, 2, indices=indices)
    if padded_mode:
        refuse(operator, "padded_mode", True, "False: it is reserved")
    require(indices.shape[0] == tokens.shape[0], operator, "the rows of indices", indices.shape[0], tokens.shape[0])
    k = indices.shape[1] if indices.dim() == 2 else 1
    order = indices.flatten().argsort(stable=True)
    went_to = order.argsort(stable=True).int()
    return tokens[order[: _kept(order.numel(), num_out_tokens)] // max(k, 1)], went_to


def _permute_grad(grad: Tensor, went_to: Tensor, tokens: int, dtype: torch.dtype) -> Tensor:
    """Each token's sum of the gradients of its copies; copies that were cut off have none."""
    k = went_to.numel() // max(tokens, 1)
    inside = went_to < grad.shape[0]
    copies = wide(grad)[torch.where(inside, went_to, 0).long()] * inside[:, None]
    return copies.view(tokens, k, grad.shape[-1]).sum(1).to(dtype)


@kernel("npu_moe_token_permute_grad")
def token_permute_grad(
    tokens: Tensor, grad_permuted_tokens: Tensor, indices: Tensor, sorted_indices: Tensor, padded_mode: bool = False
) -> Tensor:
    """The gradient of tokens."""
    return _permute_grad(grad_permuted_tokens, sorted_indices, tokens.shape[0], tokens.dtype)


@kernel("npu_moe_token_permute_grad_v2")
def token_permute_grad_v2(
    grad_permuted_tokens: Tensor,
    sorted_indices: Tensor,
    tokens_size_0: int,
    tokens_dtype: torch.dtype,
    num_topK: int,
    padded_mode: bool = False,
) -> Tensor:
    """The gradient of tokens."""
    return _permute_grad(grad_permuted_tokens, sorted_indices, tokens_size_0, tokens_dtype)


@derivative("npu_moe_token_permute", of="tokens")
def _token_permute(grad: Tensor, tokens: Tensor, indices: Tensor, result1: Tensor, padded_mode: bool) -> Tensor:
    gradient: Tensor = torch.ops.npu.npu_moe_token_permute_grad(tokens, grad, indices, result1, padded_mode)
    return gradient


def _check_unpermute(
    operator: str, rows: Tensor, places: Tensor, probs: Tensor | None, padded: bool, shape: list[int] | None
) -> int:
    types(operator, FLOATS, permuted_tokens=rows, probs=probs)
    types(operator, (torch.int32,), sorted_indices=places)
    dimensions(operator, 2, 2, permuted_tokens=rows, probs=probs)
    if padded or shape is not None:
        refuse(operator, "padded_mode or restore_shape", "given", "False and None: they are reserved")
    k = 1 if probs is None else probs.shape[1]
    limit(k <= 512, operator, "the experts of a token", k, "at most 512")
    fits = probs is None or probs.numel() == places.numel()
    require(fits, operator, "probs", None if probs is None else list(probs.shape), f"{places.numel()} numbers")
    return k


@kernel("npu_moe_token_unpermute")
def token_unpermute(
    permuted_tokens: Tensor,
    sorted_indices: Tensor,
    probs: Tensor | None = None,
    padded_mode: bool = False,
    restore_shape: list[int] | None = None,
) -> Tensor:
    """[T, H]: the sum of a token's rows, which lie at ``sorted_indices``, times their probabilities [T, k]."""
    k = _check_unpermute("npu_moe_token_unpermute", permuted_tokens, sorted_indices, probs, padded_mode, restore_shape)
    inside = sorted_indices < permuted_tokens.shape[0]
    rows = wide(permuted_tokens)[torch.where(inside, sorted_indices, 0).long()] * inside[:, None]
    rows = rows.view(-1, k, permuted_tokens.shape[-1])
    if probs is not None:
        rows = rows * wide(probs)[..., None]
    return rows.sum(1).to(permuted_tokens.dtype)


@kernel("_npu_moe_token_unpermute")
def token_unpermute_saved(
    permuted_tokens: Tensor,
    sorted_indices: Tensor,
    probs: Tensor | None = None,
    padded_mode: bool = False,
    restore_shape: list[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """The same, and the rows, for the backward."""
    result = token_unpermute(permuted_tokens, sorted_indices, probs, padded_mode, restore_shape)
    return result, permuted_tokens.clone()


def _unpermute_grad(
    rows: Tensor | None, grad: Tensor, places: Tensor, probs: Tensor | None, count: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    k = 1 if probs is None else probs.shape[1]
    each = wide(grad)[:, None].expand(-1, k, -1)
    weighted = each if probs is None else each * wide(probs)[..., None]
    inside = places < count
    spread = weighted.reshape(-1, grad.shape[-1]) * inside[:, None]
    safe = torch.where(inside, places, 0).long()
    grad_rows = spread.new_zeros(count, grad.shape[-1]).index_add_(0, safe, spread)
    if probs is None:
        return grad_rows.to(dtype), grad.new_empty(0)
    assert rows is not None
    own = (wide(rows)[safe] * inside[:, None]).view(-1, k, grad.shape[-1])
    return grad_rows.to(dtype), (own * each).sum(-1).to(probs.dtype)


@kernel("npu_moe_token_unpermute_grad")
def token_unpermute_grad(
    permuted_tokens: Tensor,
    grad_unpermuted_tokens: Tensor,
    sorted_indices: Tensor,
    probs: Tensor | None = None,
    padded_mode: bool = False,
    restore_shape: list[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Gradients of the rows and of the probabilities."""
    count, dtype = permuted_tokens.shape[0], permuted_tokens.dtype
    return _unpermute_grad(permuted_tokens, grad_unpermuted_tokens, sorted_indices, probs, count, dtype)


@kernel("npu_moe_token_unpermute_grad_v2")
def token_unpermute_grad_v2(
    grad_unpermuted_tokens: Tensor,
    sorted_indices: Tensor,
    permuted_tokens_size_0: int,
    permuted_tokens_dtype: torch.dtype,
    probs: Tensor | None = None,
    padded_mode: bool = False,
    restore_shape: list[int] | None = None,
    permuted_tokens: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The same; the rows are needed for the gradient of the probabilities alone."""
    return _unpermute_grad(
        permuted_tokens,
        grad_unpermuted_tokens,
        sorted_indices,
        probs,
        permuted_tokens_size_0,
        permuted_tokens_dtype,
    )


@derivative("npu_moe_token_unpermute", "_npu_moe_token_unpermute", of="permuted_tokens probs")
def _token_unpermute(
    grad: Tensor, permuted_tokens: Tensor, sorted_indices: Tensor, probs: Tensor | None
) -> tuple[Tensor, Tensor]:
    gradients: tuple[Tensor, Tensor] = torch.ops.npu.npu_moe_token_unpermute_grad(
        permuted_tokens, grad, sorted_indices, probs
    )
    return gradients


@kernel("npu_moe_token_permute_with_routing_map", values_decide=True)
def token_permute_with_routing_map(
    tokens: Tensor,
    routing_map: Tensor,
    *,
    probs: Tensor | None = None,
    num_out_tokens: int | None = None,
    drop_and_pad: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of tokens [T, H] for the experts marked in [T, experts], expert by expert; their probabilities; places.

    With ``drop_and_pad`` every expert takes the same number of tokens, unmarked ones where it lacks some.
    """
    operator = "npu_moe_token_permute_with_routing_map"
    types(operator, FLOATS, tokens=tokens, probs=probs)
    types(operator, (torch.bool, torch.int8), routing_map=routing_map)
    dimensions(operator, 2, 2, tokens=tokens, routing_map=routing_map)
    count, experts = routing_map.shape
    wanted = count if num_out_tokens is None else num_out_tokens
    marked = routing_map.t().bool()
    if drop_and_pad:
        order = (~marked).sort(dim=-1, stable=True)[1][:, : wanted // experts]
        picked = None if probs is None else probs.t().gather(1, order).flatten()
        source = order.flatten()
        places = source.int()
    else:
        source = torch.arange(count, device=tokens.device).expand(experts, -1)[marked]
        k = wanted // max(count, 1)
        uneven = source.numel() != k * count or bool((routing_map.sum(-1) != k).any())
        limit(not uneven, operator, "routing_map", "uneven", f"{k} experts a token, as num_out_tokens says")
        places = source.argsort(stable=True).int()
        picked = None if probs is None else probs.t()[marked]
    return tokens[source], tokens.new_empty(0) if picked is None else picked, places


@kernel("npu_moe_token_permute_with_routing_map_grad", values_decide=True)
def token_permute_with_routing_map_grad(
    permuted_token_out_grad: Tensor,
    probs_grad: Tensor | None,
    sorted_indices: Tensor,
    routing_map: Tensor,
    experts_num: int,
    tokens_num: int,
    drop_and_pad: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients of tokens and of probs."""
    grad, width = wide(permuted_token_out_grad), permuted_token_out_grad.shape[-1]
    empty = grad.new_empty(0)
    if drop_and_pad:
        source = sorted_indices.long()
        grad_tokens = grad.new_zeros(tokens_num, width).index_add_(0, source, grad)
        if probs_grad is None or not probs_grad.numel():
            return grad_tokens.to(permuted_token_out_grad.dtype), empty
        grad_probs = probs_grad.new_zeros(experts_num, tokens_num)
        grad_probs.scatter_(1, source.view(experts_num, -1), probs_grad.view(experts_num, -1))
        return grad_tokens.to(permuted_token_out_grad.dtype), grad_probs.t().contiguous()
    grad_tokens = grad[sorted_indices.long()].view(tokens_num, -1, width).sum(1)
    if probs_grad is None or not probs_grad.numel():
        return grad_tokens.to(permuted_token_out_grad.dtype), empty
    grad_probs = probs_grad.new_zeros(experts_num, tokens_num)
    grad_probs[routing_map.t().bool()] = probs_grad
    return grad_tokens.to(permuted_token_out_grad.dtype), grad_probs.t().contiguous()


@derivative("npu_moe_token_permute_with_routing_map", of="tokens probs", results=(0, 1))
def _token_permute_with_routing_map(
    grad: Tensor,
    grad1: Tensor | None,
    tokens: Tensor,
    routing_map: Tensor,
    result2: Tensor,
    drop_and_pad: bool,
    needed: tuple[bool, ...],
) -> tuple[Tensor, Tensor]:
    count, experts = routing_map.shape
    gradients: tuple[Tensor, Tensor] = torch.ops.npu.npu_moe_token_permute_with_routing_map_grad(
        grad, grad1 if needed[1] else None, result2, routing_map, experts, count, drop_and_pad
    )
    return gradients
