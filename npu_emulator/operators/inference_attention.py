"""Attention for inference: npu_fused_infer_attention_score and its parts, for prompts and for single tokens.

Padded layouts take a length for each sequence, packed ones (TND) the sums of the lengths. ``block_table`` [B, blocks]
says which blocks of a paged cache hold a sequence. Keys and values in int8 are multiplied by their scales first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from npu_emulator.npu.not_emulated import NotEmulated
from npu_emulator.operators import attention_core as core
from npu_emulator.operators.attention_call import EVERYTHING, bounds, from_heads, to_heads
from npu_emulator.operators.attention_masks import Masking, check, keep_of
from npu_emulator.operators.kv_cache import blocks_of
from npu_emulator.operators.limits import HALVES, limit, one_of, require, same_type, types
from npu_emulator.operators.precision import wide
from npu_emulator.operators.quantization import rounded_to_int8
from npu_emulator.operators.registry import kernel

# The layout of the query, and that of the result.
LAYOUTS = {
    "BSH": ("BSH", "BSH"),
    "BSND": ("BSND", "BSND"),
    "BNSD": ("BNSD", "BNSD"),
    "SH": ("TND", "TND"),
    "BNSD_BSND": ("BNSD", "BSND"),
    "BSH_NBSD": ("BSH", "NBSD"),
    "BSND_NBSD": ("BSND", "NBSD"),
    "BNSD_NBSD": ("BNSD", "NBSD"),
    "TND": ("TND", "TND"),
    "TND_NTD": ("TND", "NTD"),
    "NTD_TND": ("NTD", "TND"),
    "NTD": ("NTD", "NTD"),
}
_PACKED = ("TND", "NTD")


@dataclass
class Call:
    """One call, in words that all the operators understand."""

    operator: str
    query: Tensor
    key: Tensor
    value: Tensor
    layout: str
    heads: int
    kv_heads: int
    scale: float
    masking: Masking
    q_lengths: Sequence[int] | None = None
    kv_lengths: Sequence[int] | None = None
    pse: Tensor | None = None
    block_table: Tensor | None = None
    block_size: int = 0
    query_rope: Tensor | None = None
    key_rope: Tensor | None = None
    sink: Tensor | None = None
    key_quantized: tuple[Tensor | None, Tensor | None, int] = (None, None, 0)
    value_quantized: tuple[Tensor | None, Tensor | None, int] = (None, None, 0)
    out_scale: Tensor | None = None
    out_offset: Tensor | None = None

    def __post_init__(self) -> None:
        one_of(self.operator, "input_layout", self.layout, tuple(LAYOUTS))
        self.taken, self.given = LAYOUTS[self.layout]
        self.kv_heads = self.kv_heads or self.heads
        types(self.operator, HALVES, query=self.query)
        types(self.operator, (*HALVES, torch.int8), key=self.key, value=self.value)
        same_type(self.operator, key=self.key, value=self.value)
        plain = self.key.dtype != torch.int8
        limit(
            not plain or self.key.dtype == self.query.dtype, self.operator, "key", self.key.dtype, "the type of query"
        )
        fits = self.kv_heads > 0 and self.heads % self.kv_heads == 0 and self.heads // self.kv_heads <= 64
        limit(fits, self.operator, "num_key_value_heads", self.kv_heads, f"a divisor of {self.heads}, at most 64 times")
        modes = (0, 1, 2, 3, 4)
        check(self.masking, modes)
        if self.masking.mode in (2, 3, 4):
            missing = self.masking.mask is None
            limit(not missing, self.operator, "atten_mask", None, f"a mask for sparse_mode {self.masking.mode}")

    def queries(self, tensor: Tensor) -> list[Tensor]:
        """[heads, S, D] of each sequence."""
        if self.taken in _PACKED:
            tokens = tensor if self.taken == "TND" else tensor.transpose(0, 1)
            assert self.q_lengths is not None
            return [tokens[first:last].transpose(0, 1) for first, last in bounds(self.q_lengths)]
        return list(to_heads(tensor, self.taken, self.heads).unbind(0))

    def keys(self, tensor: Tensor, heads: int) -> list[Tensor]:
        """[kv heads, S, D] of each sequence, out of its blocks where the cache is paged."""
        if self.block_table is not None:
            return [self._paged(tensor, heads, index) for index in range(self.block_table.shape[0])]
        if self.taken in _PACKED:
            tokens = tensor if self.taken == "TND" else tensor.transpose(0, 1)
            require(self.kv_lengths is not None, self.operator, "the lengths of key", None, "their sums, for TND")
            assert self.kv_lengths is not None
            return [tokens[first:last].transpose(0, 1) for first, last in bounds(self.kv_lengths)]
        parts = list(to_heads(tensor, self.taken, heads).unbind(0))
        lengths = _for_each(self.kv_lengths, len(parts), self.operator)
        return [part if length is None else part[:, :length] for part, length in zip(parts, lengths, strict=True)]

    def _paged(self, cache: Tensor, heads: int, index: int) -> Tensor:
        """[blocks, block, N * D], or [blocks, N, block, D]: the first tokens of a sequence."""
        operator = self.operator
        require(self.kv_lengths is not None, operator, "the lengths of key", None, "a list, with block_table")
        assert self.kv_lengths is not None
        assert self.block_table is not None
        length = self.kv_lengths[index if len(self.kv_lengths) > 1 else 0]
        require(self.block_size > 0, operator, "block_size", self.block_size, "a positive number, with block_table")
        blocks = blocks_of(operator, cache, self.block_table[index], length, self.block_size)
        by_token = torch.unflatten(blocks, -1, (heads, -1)) if cache.dim() == 3 else blocks.transpose(1, 2)
        return by_token.flatten(0, 1)[:length].transpose(0, 1)

    def padded_lengths(self, count: int) -> list[int | None]:
        """How many rows of each query count; None for all."""
        return [None] * count if self.taken in _PACKED else _for_each(self.q_lengths, count, self.operator)


def _for_each(lengths: Sequence[int] | None, count: int, operator: str) -> list[int | None]:
    if lengths is None or not len(lengths):
        return [None] * count
    if len(lengths) == 1:
        return [lengths[0]] * count
    require(len(lengths) >= count, operator, "the list of lengths", f"{len(lengths)} long", f"1 or {count}")
    return list(lengths[:count])


def _dequantized(parts: list[Tensor], given: tuple[Tensor | None, Tensor | None, int], operator: str) -> list[Tensor]:
    """int8 keys or values (x + offset) * scale: a scale a channel (or one for all), or a scale a token."""
    scale, offset, mode = given
    if parts[0].dtype != torch.int8:
        return parts
    require(scale is not None, operator, "the scale of keys and values in int8", None, "a tensor")
    assert scale is not None
    if mode not in (0, 1):
        raise NotEmulated(f"torch_npu.{operator} with quantization mode {mode} works on Ascend hardware, not here")
    heads, _, width = parts[0].shape

    def spread(parameter: Tensor, index: int, length: int) -> Tensor:
        values = wide(parameter)
        if mode == 1:  # [B, S], or with leading ones
            return values.reshape(-1, values.shape[-1])[index, :length, None]
        return values.view(-1) if values.numel() == 1 else values.reshape(heads, 1, width)

    dequantized = []
    for index, part in enumerate(parts):
        values = wide(part)
        if offset is not None:
            values = values + spread(offset, index, part.shape[1])
        dequantized.append(values * spread(scale, index, part.shape[1]))
    return dequantized


def _run(call: Call) -> tuple[Tensor, Tensor]:
    """The result, and the log of each row's sum of exponentials: [B, N, S, 1], or [T, N, 1]."""
    if call.query.device.type == "meta":
        return _shapes(call)
    queries = call.queries(call.query)
    keys = _dequantized(call.keys(call.key, call.kv_heads), call.key_quantized, call.operator)
    values = _dequantized(call.keys(call.value, call.kv_heads), call.value_quantized, call.operator)
    if call.query_rope is not None and call.key_rope is not None:
        ropes = call.queries(call.query_rope)
        key_ropes = call.keys(call.key_rope, call.kv_heads)
        queries = [torch.cat((wide(a), wide(b)), -1) for a, b in zip(queries, ropes, strict=True)]
        keys = [torch.cat((wide(a), wide(b)), -1) for a, b in zip(keys, key_ropes, strict=True)]
    require(len(queries) == len(keys), call.operator, "the sequences of key", len(keys), len(queries))
    results, logs = [], []
    lengths = call.padded_lengths(len(queries))
    for index, (q, k, v, length) in enumerate(zip(queries, keys, values, lengths, strict=True)):
        used = q if length is None else q[:, :length]
        rows, columns = used.shape[1], k.shape[1]
        keep = keep_of(call.masking, index, len(queries), rows, columns)
        segment = core.Segment(used, k, v, call.scale, keep, _bias(call.pse, index, columns), False, call.sink)
        result, top, total = core.forward(segment)
        log = torch.where(total > 0, top + total.log(), torch.inf)
        results.append(torch.nn.functional.pad(result, (0, 0, 0, q.shape[1] - rows)))
        logs.append(torch.nn.functional.pad(log, (0, q.shape[1] - rows), value=torch.inf))
    return _joined(call, results), _joined_logs(call, logs)


def _bias(pse: Tensor | None, index: int, columns: int) -> core.Bias:
    if pse is None:
        return core.nothing
    mine = pse[index if pse.shape[0] > 1 else 0]
    return lambda first, last: mine[:, first:last, :columns]


def _joined(call: Call, results: list[Tensor]) -> Tensor:
    if call.taken in _PACKED:
        joined = torch.cat(results, 1)  # [N, T, D]
        tokens = call.query.shape[0 if call.taken == "TND" else 1]
        joined = torch.nn.functional.pad(joined, (0, 0, 0, tokens - joined.shape[1]))
        result = joined if call.given == "NTD" else joined.transpose(0, 1)
    else:
        stacked = torch.stack(results)  # [B, N, S, D]
        result = stacked.transpose(0, 1) if call.given == "NBSD" else from_heads(stacked, call.given)
    if call.out_scale is None:
        return result.to(call.query.dtype).contiguous()
    return rounded_to_int8(_per_channel(result, call.out_scale, call) + _offset(result, call)).contiguous()


def _channel_view(parameter: Tensor, call: Call) -> Tensor:
    """A parameter for each head and feature, in a shape that broadcasts to the result."""
    values = wide(parameter)
    if values.numel() == 1:
        return values.view(-1)
    if call.given == "BSH":
        return values.reshape(-1)
    values = values.reshape(call.heads, -1)
    return {"BNSD": values[:, None], "NTD": values[:, None], "NBSD": values[:, None, None]}.get(call.given, values)


def _per_channel(result: Tensor, scale: Tensor, call: Call) -> Tensor:
    return result * _channel_view(scale, call)


def _offset(result: Tensor, call: Call) -> Tensor:
    return result.new_zeros(1) if call.out_offset is None else _channel_view(call.out_offset, call)


def _joined_logs(call: Call, logs: list[Tensor]) -> Tensor:
    if call.taken in _PACKED:
        return torch.cat(logs, 1).t()[..., None].float().contiguous()
    return torch.stack(logs)[..., None].float()


def _shapes(call: Call) -> tuple[Tensor, Tensor]:
    kind = call.query.dtype if call.out_scale is None else torch.int8
    if call.taken in _PACKED:
        tokens = call.query.shape[0 if call.taken == "TND" else 1]
        width = call.value.shape[-1]
        size = [tokens, call.heads, width] if call.given == "TND" else [call.heads, tokens, width]
        return call.query.new_empty(size, dtype=kind), call.query.new_empty(tokens, call.heads, 1, dtype=torch.float32)
    q = to_heads(call.query, call.taken, call.heads)
    size = [*q.shape[:3], q.shape[-1]]
    result = q.new_empty(size, dtype=kind)
    result = result.transpose(0, 1) if call.given == "NBSD" else from_heads(result, call.given)
    return result, q.new_empty(*q.shape[:3], 1, dtype=torch.float32)


def _refuse_given(operator: str, **arguments: object) -> None:
    for name, argument in arguments.items():
        if argument is not None:
            raise NotEmulated(f"torch_npu.{operator} with {name} works on Ascend hardware, but not on the emulated NPU")


def _halves(parameter: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """The keys' and the values' part of a parameter for both."""
    return (None, None) if parameter is None else (parameter[0], parameter[1])


@kernel("npu_prompt_flash_attention")
def prompt_flash_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    padding_mask: Tensor | None = None,
    atten_mask: Tensor | None = None,
    pse_shift: Tensor | None = None,
    actual_seq_lengths: list[int] | None = None,
    deq_scale1: Tensor | None = None,
    quant_scale1: Tensor | None = None,
    deq_scale2: Tensor | None = None,
    quant_scale2: Tensor | None = None,
    quant_offset2: Tensor | None = None,
    num_heads: int = 1,
    scale_value: float = 1.0,
    pre_tokens: int = EVERYTHING,
    next_tokens: int = 0,
    input_layout: str = "BSH",
    num_key_value_heads: int = 0,
    actual_seq_lengths_kv: list[int] | None = None,
    sparse_mode: int = 0,
) -> Tensor:
    """Attention of a whole prompt; int8 with ``quant_scale2``."""
    operator = "npu_prompt_flash_attention"
    _refuse_given(operator, deq_scale1=deq_scale1, quant_scale1=quant_scale1, deq_scale2=deq_scale2)
    call = Call(
        operator,
        query,
        key,
        value,
        input_layout,
        num_heads,
        num_key_value_heads,
        scale_value,
        Masking(operator, sparse_mode, atten_mask, pre_tokens, next_tokens),
        actual_seq_lengths,
        actual_seq_lengths_kv,
        pse_shift,
        out_scale=quant_scale2,
        out_offset=quant_offset2,
    )
    return _run(call)[0]


@kernel("npu_incre_flash_attention")
def incre_flash_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    padding_mask: Tensor | None = None,
    atten_mask: Tensor | None = None,
    pse_shift: Tensor | None = None,
    actual_seq_lengths: list[int] | None = None,
    antiquant_scale: Tensor | None = None,
    antiquant_offset: Tensor | None = None,
    block_table: Tensor | None = None,
    dequant_scale1: Tensor | None = None,
    quant_scale1: Tensor | None = None,
    dequant_scale2: Tensor | None = None,
    quant_scale2: Tensor | None = None,
    quant_offset2: Tensor | None = None,
    kv_padding_size: Tensor | None = None,
    num_heads: int = 1,
    scale_value: float = 1.0,
    input_layout: str = "BSH",
    num_key_value_heads: int = 0,
    block_size: int = 0,
    inner_precise: int = 1,
) -> Tensor:
    """Attention of one more token on a cache; the lengths are those of the cache."""
    operator = "npu_incre_flash_attention"
    _refuse_given(
        operator,
        dequant_scale1=dequant_scale1,
        quant_scale1=quant_scale1,
        dequant_scale2=dequant_scale2,
        kv_padding_size=kv_padding_size,
    )
    limit(input_layout in ("BSH", "BSND", "BNSD"), operator, "input_layout", input_layout, "BSH, BSND or BNSD")
    rows = query.shape[2 if input_layout == "BNSD" else 1]
    limit(rows == 1, operator, "the length of query", rows, 1)
    key_scale, value_scale = _halves(antiquant_scale)
    key_offset, value_offset = _halves(antiquant_offset)
    mask = atten_mask if atten_mask is None else atten_mask.reshape(atten_mask.shape[0], 1, 1, atten_mask.shape[-1])
    call = Call(
        operator,
        query,
        key,
        value,
        input_layout,
        num_heads,
        num_key_value_heads,
        scale_value,
        Masking(operator, 1, mask, EVERYTHING, EVERYTHING),
        None,
        actual_seq_lengths,
        pse_shift,
        block_table,
        block_size,
        key_quantized=(key_scale, key_offset, 0),
        value_quantized=(value_scale, value_offset, 0),
        out_scale=quant_scale2,
        out_offset=quant_offset2,
    )
    return _run(call)[0]


@kernel("npu_fused_infer_attention_score")
def fused_infer_attention_score(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    pse_shift: Tensor | None = None,
    atten_mask: Tensor | None = None,
    actual_seq_lengths: list[int] | None = None,
    actual_seq_lengths_kv: list[int] | None = None,
    dequant_scale1: Tensor | None = None,
    quant_scale1: Tensor | None = None,
    dequant_scale2: Tensor | None = None,
    quant_scale2: Tensor | None = None,
    quant_offset2: Tensor | None = None,
    antiquant_scale: Tensor | None = None,
    antiquant_offset: Tensor | None = None,
    key_antiquant_scale: Tensor | None = None,
    key_antiquant_offset: Tensor | None = None,
    value_antiquant_scale: Tensor | None = None,
    value_antiquant_offset: Tensor | None = None,
    block_table: Tensor | None = None,
    query_padding_size: Tensor | None = None,
    kv_padding_size: Tensor | None = None,
    key_shared_prefix: Tensor | None = None,
    value_shared_prefix: Tensor | None = None,
    actual_shared_prefix_len: list[int] | None = None,
    query_rope: Tensor | None = None,
    key_rope: Tensor | None = None,
    key_rope_antiquant_scale: Tensor | None = None,
    num_heads: int = 1,
    scale: float = 1.0,
    pre_tokens: int = EVERYTHING,
    next_tokens: int = EVERYTHING,
    input_layout: str = "BSH",
    num_key_value_heads: int = 0,
    sparse_mode: int = 0,
    inner_precise: int = 0,
    block_size: int = 0,
    antiquant_mode: int = 0,
    key_antiquant_mode: int = 0,
    value_antiquant_mode: int = 0,
    softmax_lse_flag: bool = False,
) -> tuple[Tensor, Tensor]:
    """Attention of prompts and of single tokens; and with ``softmax_lse_flag`` the log of each row's sum."""
    operator = "npu_fused_infer_attention_score"
    _refuse_given(
        operator,
        dequant_scale1=dequant_scale1,
        quant_scale1=quant_scale1,
        dequant_scale2=dequant_scale2,
        query_padding_size=query_padding_size,
        kv_padding_size=kv_padding_size,
        key_shared_prefix=key_shared_prefix,
        value_shared_prefix=value_shared_prefix,
        key_rope_antiquant_scale=key_rope_antiquant_scale,
    )
    key_scale, value_scale = _halves(antiquant_scale)
    key_offset, value_offset = _halves(antiquant_offset)
    apart = key_antiquant_scale is not None
    call = Call(
        operator,
        query,
        key,
        value,
        input_layout,
        num_heads,
        num_key_value_heads,
        scale,
        Masking(operator, sparse_mode, atten_mask, pre_tokens, next_tokens),
        actual_seq_lengths,
        actual_seq_lengths_kv,
        pse_shift,
        block_table,
        block_size,
        query_rope,
        key_rope,
        key_quantized=(
            (key_antiquant_scale, key_antiquant_offset, key_antiquant_mode)
            if apart
            else (key_scale, key_offset, antiquant_mode)
        ),
        value_quantized=(
            (value_antiquant_scale, value_antiquant_offset, value_antiquant_mode)
            if apart
            else (value_scale, value_offset, antiquant_mode)
        ),
        out_scale=quant_scale2,
        out_offset=quant_offset2,
    )
    result, log = _run(call)
    return result, log if softmax_lse_flag else log.new_zeros(1)


@kernel("npu_fused_infer_attention_score.out")
def fused_infer_attention_score_out(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    softmax_lse_flag: bool = False,
    workspace: Tensor | None = None,
    attention_out: Tensor,
    softmax_lse: Tensor,
    **options: Any,
) -> tuple[Tensor, Tensor]:
    """The same, into ``attention_out`` and ``softmax_lse``."""
    result, log = fused_infer_attention_score(query, key, value, softmax_lse_flag=softmax_lse_flag, **options)
    attention_out.copy_(result)
    if softmax_lse_flag:
        softmax_lse.copy_(log)
    return attention_out, softmax_lse


@kernel("_npu_fused_infer_attention_score_get_max_workspace")
def fused_infer_attention_score_get_max_workspace(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    pse_shift: Tensor | None = None,
    atten_mask: Tensor | None = None,
    actual_seq_lengths: list[int] | None = None,
    actual_seq_lengths_kv: list[int] | None = None,
    dequant_scale1: Tensor | None = None,
    quant_scale1: Tensor | None = None,
    dequant_scale2: Tensor | None = None,
    quant_scale2: Tensor | None = None,
    quant_offset2: Tensor | None = None,
    antiquant_scale: Tensor | None = None,
    antiquant_offset: Tensor | None = None,
    key_antiquant_scale: Tensor | None = None,
    key_antiquant_offset: Tensor | None = None,
    value_antiquant_scale: Tensor | None = None,
    value_antiquant_offset: Tensor | None = None,
    block_table: Tensor | None = None,
    query_padding_size: Tensor | None = None,
    kv_padding_size: Tensor | None = None,
    key_shared_prefix: Tensor | None = None,
    value_shared_prefix: Tensor | None = None,
    actual_shared_prefix_len: list[int] | None = None,
    query_rope: Tensor | None = None,
    key_rope: Tensor | None = None,
    key_rope_antiquant_scale: Tensor | None = None,
    num_heads: int = 1,
    scale: float = 1.0,
    pre_tokens: int = EVERYTHING,
    next_tokens: int = EVERYTHING,
    input_layout: str = "BSH",
    num_key_value_heads: int = 0,
    sparse_mode: int = 0,
    inner_precise: int = 0,
    block_size: int = 0,
    antiquant_mode: int = 0,
    key_antiquant_mode: int = 0,
    value_antiquant_mode: int = 0,
    softmax_lse_flag: bool = False,
) -> Tensor:
    """An empty tensor: no workspace is needed here."""
    return query.new_empty(0, dtype=torch.uint8)


@kernel("npu_fused_infer_attention_score_v2")
def fused_infer_attention_score_v2(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    query_rope: Tensor | None = None,
    key_rope: Tensor | None = None,
    pse_shift: Tensor | None = None,
    atten_mask: Tensor | None = None,
    actual_seq_qlen: list[int] | None = None,
    actual_seq_kvlen: list[int] | None = None,
    block_table: Tensor | None = None,
    dequant_scale_query: Tensor | None = None,
    dequant_scale_key: Tensor | None = None,
    dequant_offset_key: Tensor | None = None,
    dequant_scale_value: Tensor | None = None,
    dequant_offset_value: Tensor | None = None,
    dequant_scale_key_rope: Tensor | None = None,
    quant_scale_out: Tensor | None = None,
    quant_offset_out: Tensor | None = None,
    quant_scale_p: Tensor | None = None,
    learnable_sink: Tensor | None = None,
    num_query_heads: int = 1,
    num_key_value_heads: int = 0,
    softmax_scale: float = 1.0,
    pre_tokens: int = EVERYTHING,
    next_tokens: int = EVERYTHING,
    input_layout: str = "BSH",
    sparse_mode: int = 0,
    block_size: int = 0,
    query_quant_mode: int = 0,
    key_quant_mode: int = 0,
    value_quant_mode: int = 0,
    inner_precise: int = 0,
    return_softmax_lse: bool = False,
    query_dtype: int | None = None,
    key_dtype: int | None = None,
    value_dtype: int | None = None,
    query_rope_dtype: int | None = None,
    key_rope_dtype: int | None = None,
    key_shared_prefix_dtype: int | None = None,
    value_shared_prefix_dtype: int | None = None,
    dequant_scale_query_dtype: int | None = None,
    dequant_scale_key_dtype: int | None = None,
    dequant_scale_value_dtype: int | None = None,
    dequant_scale_key_rope_dtype: int | None = None,
    out_dtype: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Attention of prompts and of single tokens; and with ``return_softmax_lse`` the log of each row's sum."""
    operator = "npu_fused_infer_attention_score_v2"
    _refuse_given(
        operator,
        dequant_scale_query=dequant_scale_query,
        dequant_scale_key_rope=dequant_scale_key_rope,
        quant_scale_p=quant_scale_p,
    )
    if learnable_sink is not None:
        types(operator, (torch.bfloat16,), learnable_sink=learnable_sink)
        require(
            list(learnable_sink.shape) == [num_query_heads],
            operator,
            "learnable_sink",
            list(learnable_sink.shape),
            [num_query_heads],
        )
    call = Call(
        operator,
        query,
        key,
        value,
        input_layout,
        num_query_heads,
        num_key_value_heads,
        softmax_scale,
        Masking(operator, sparse_mode, atten_mask, pre_tokens, next_tokens),
        actual_seq_qlen,
        actual_seq_kvlen,
        pse_shift,
        block_table,
        block_size,
        query_rope,
        key_rope,
        learnable_sink,
        (dequant_scale_key, dequant_offset_key, key_quant_mode),
        (dequant_scale_value, dequant_offset_value, value_quant_mode),
        quant_scale_out,
        quant_offset_out,
    )
    result, log = _run(call)
    return result, log if return_softmax_lse else log.new_zeros(1)


@kernel("npu_fused_infer_attention_score_v2.out")
def fused_infer_attention_score_v2_out(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    return_softmax_lse: bool = False,
    workspace: Tensor | None = None,
    attention_out: Tensor,
    softmax_lse: Tensor,
    **options: Any,
) -> tuple[Tensor, Tensor]:
    """The same, into ``attention_out`` and ``softmax_lse``."""
    result, log = fused_infer_attention_score_v2(query, key, value, return_softmax_lse=return_softmax_lse, **options)
    attention_out.copy_(result)
    if return_softmax_lse:
        softmax_lse.copy_(log)
    return attention_out, softmax_lse


@kernel("_npu_fused_infer_attention_score_v2_get_max_workspace")
def fused_infer_attention_score_v2_get_max_workspace(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    query_rope: Tensor | None = None,
    key_rope: Tensor | None = None,
    pse_shift: Tensor | None = None,
    atten_mask: Tensor | None = None,
    actual_seq_qlen: list[int] | None = None,
    actual_seq_kvlen: list[int] | None = None,
    block_table: Tensor | None = None,
    dequant_scale_query: Tensor | None = None,
    dequant_scale_key: Tensor | None = None,
    dequant_offset_key: Tensor | None = None,
    dequant_scale_value: Tensor | None = None,
    dequant_offset_value: Tensor | None = None,
    dequant_scale_key_rope: Tensor | None = None,
    quant_scale_out: Tensor | None = None,
    quant_offset_out: Tensor | None = None,
    quant_scale_p: Tensor | None = None,
    learnable_sink: Tensor | None = None,
    num_query_heads: int = 1,
    num_key_value_heads: int = 0,
    softmax_scale: float = 1.0,
    pre_tokens: int = EVERYTHING,
    next_tokens: int = EVERYTHING,
    input_layout: str = "BSH",
    sparse_mode: int = 0,
    block_size: int = 0,
    query_quant_mode: int = 0,
    key_quant_mode: int = 0,
    value_quant_mode: int = 0,
    inner_precise: int = 0,
    return_softmax_lse: bool = False,
    query_dtype: int | None = None,
    key_dtype: int | None = None,
    value_dtype: int | None = None,
    query_rope_dtype: int | None = None,
    key_rope_dtype: int | None = None,
    key_shared_prefix_dtype: int | None = None,
    value_shared_prefix_dtype: int | None = None,
    dequant_scale_query_dtype: int | None = None,
    dequant_scale_key_dtype: int | None = None,
    dequant_scale_value_dtype: int | None = None,
    dequant_scale_key_rope_dtype: int | None = None,
    out_dtype: int | None = None,
) -> Tensor:
    """An empty tensor: no workspace is needed here."""
    return query.new_empty(0, dtype=torch.uint8)
