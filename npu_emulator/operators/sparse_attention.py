"""Attention to the keys that an index chose: the index, and the attention.

Padded layouts (BSND) take a length for each sequence, packed ones (TND) the sums of the lengths. A paged cache holds
blocks of tokens (PA_BSND); ``block_table`` [B, blocks] says which are whose. There is one key head.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from npu_emulator.operators.kv_cache import blocks_of
from npu_emulator.operators.limits import FLOATS, HALVES, limit, one_of, require, same_type, types
from npu_emulator.operators.precision import wide
from npu_emulator.operators.registry import kernel

EVERY_TOKEN = 2**63 - 1
LAYOUTS = ("BSND", "TND")
KEY_LAYOUTS = (*LAYOUTS, "PA_BSND")
# All of a causal row, or all keys.
WHOLE, CAUSAL = 0, 3
COUNTS = (*range(1, 2049), *range(3072, 8193, 1024))


def _spans(operator: str, name: str, tensor: Tensor, lengths: Tensor | None, layout: str) -> list[tuple[int, int]]:
    """First and last row of each sequence among the rows [B * S] or [T]."""
    if layout == "TND":
        require(lengths is not None, operator, name, None, "the sums of the lengths, with TND")
        assert lengths is not None
        ends = lengths.tolist()
        return list(zip([0, *ends[:-1]], ends, strict=True))
    batch, size = tensor.shape[:2]
    counts = [size] * batch if lengths is None else lengths.tolist()
    return [(index * size, index * size + count) for index, count in enumerate(counts)]


class _Keys:
    """The keys of each sequence, or what else is laid out as they are."""

    def __init__(self, operator: str, key: Tensor, lengths: Tensor | None, table: Tensor | None, layout: str) -> None:
        self._operator = operator
        self._table = table if layout == "PA_BSND" else None
        if layout != "PA_BSND":
            self._spans = _spans(operator, "the lengths of key", key, lengths, layout)
            return
        require(
            lengths is not None and table is not None, operator, "block_table", table, "given, with the lengths of key"
        )
        assert lengths is not None
        self._spans = [(0, count) for count in lengths.tolist()]

    def __len__(self) -> int:
        return len(self._spans)

    def of(self, tensor: Tensor, index: int) -> Tensor:
        """[S, D] of a sequence."""
        first, last = self._spans[index]
        if self._table is None:
            return tensor.reshape(-1, tensor.shape[-1])[first:last]
        blocks = blocks_of(self._operator, tensor, self._table[index], last, tensor.shape[1])
        return blocks.reshape(-1, tensor.shape[-1])[:last]


def _check_sequences(
    operator: str, queries: str, keys: str, mode: int, before: int, after: int, lengths: tuple[Tensor | None, ...]
) -> None:
    one_of(operator, "layout_query", queries, LAYOUTS)
    require(keys in ("PA_BSND", queries), operator, "the layout of key", repr(keys), f"PA_BSND or {queries}")
    one_of(operator, "sparse_mode", mode, (WHOLE, CAUSAL))
    for name, tokens in (("pre_tokens", before), ("next_tokens", after)):
        limit(tokens == EVERY_TOKEN, operator, name, tokens, "2^63 - 1")
    for given in lengths:
        types(operator, (torch.int32,), lengths=given)


def _seen(rows: int, keys: int, mode: int, device: torch.device) -> Tensor:
    """How many of the keys each row sees."""
    if mode == WHOLE:
        return torch.full((rows,), keys, device=device)
    return (torch.arange(rows, device=device) + keys - rows + 1).clamp(min=0)


def _index_shapes(query: Tensor, key: Tensor, weights: Tensor, **options: object) -> tuple[Tensor, Tensor]:
    found = query.new_empty(*query.shape[:-2], 1, int(str(options.get("sparse_count", 2048))), dtype=torch.int32)
    return found, torch.empty_like(found, dtype=query.dtype) if options.get("return_value") else query.new_empty(0)


@kernel("npu_lightning_indexer", shapes=_index_shapes)
def lightning_indexer(
    query: Tensor,
    key: Tensor,
    weights: Tensor,
    *,
    actual_seq_lengths_query: Tensor | None = None,
    actual_seq_lengths_key: Tensor | None = None,
    block_table: Tensor | None = None,
    layout_query: str = "BSND",
    layout_key: str = "BSND",
    sparse_count: int = 2048,
    sparse_mode: int = CAUSAL,
    pre_tokens: int = EVERY_TOKEN,
    next_tokens: int = EVERY_TOKEN,
    return_value: bool = False,
) -> tuple[Tensor, Tensor]:
    """The keys with the largest sums over the heads of weight * relu(query . key), best first; -1 for none.

    query [B, S, N, 128] or [T, N, 128], weights [B, S, N] or [T, N]; the index is [B, S, 1, count] or [T, 1, count].
    """
    operator = "npu_lightning_indexer"
    types(operator, HALVES, query=query, key=key)
    same_type(operator, query=query, key=key)
    types(operator, FLOATS, weights=weights)
    lengths = actual_seq_lengths_query, actual_seq_lengths_key, block_table
    _check_sequences(operator, layout_query, layout_key, sparse_mode, pre_tokens, next_tokens, lengths)
    limit(query.shape[-2] <= 64, operator, "the heads of query", query.shape[-2], "at most 64")
    limit(key.shape[-2] == 1, operator, "the heads of key", key.shape[-2], 1)
    limit(query.shape[-1] == key.shape[-1] == 128, operator, "the head dimension", query.shape[-1], 128)
    limit(sparse_count in COUNTS, operator, "sparse_count", sparse_count, "1 to 2048, or to 8192 in steps of 1024")
    limit(not return_value or layout_key != "PA_BSND", operator, "return_value", True, "False with PA_BSND")
    rows, heads = query.reshape(-1, *query.shape[-2:]), wide(weights).reshape(-1, weights.shape[-1])
    index = torch.full((rows.shape[0], sparse_count), -1, dtype=torch.int32, device=query.device)
    values = torch.full((rows.shape[0], sparse_count), -math.inf, device=query.device)
    keys = _Keys(operator, key, actual_seq_lengths_key, block_table, layout_key)
    spans = _spans(operator, "the lengths of query", query, actual_seq_lengths_query, layout_query)
    for at, (first, last) in enumerate(spans):
        chosen = wide(keys.of(key, at))
        scores = ((wide(rows[first:last]) @ chosen.T).relu() * heads[first:last, :, None]).sum(1)
        seen = _seen(last - first, len(chosen), sparse_mode, query.device)[:, None]
        scores = scores.masked_fill(torch.arange(len(chosen), device=query.device) >= seen, -math.inf)
        best = scores.topk(min(sparse_count, len(chosen)))
        within = torch.arange(best.indices.shape[1], device=query.device) < seen
        index[first:last, : within.shape[1]] = best.indices.int().masked_fill(~within, -1)
        values[first:last, : within.shape[1]] = best.values
    shape = (*query.shape[:-2], 1, sparse_count)
    return index.view(shape), values.to(query.dtype).view(shape) if return_value else query.new_empty(0)


def _attention_shapes(query: Tensor, *_: object, **options: object) -> tuple[Tensor, Tensor, Tensor]:
    if not options.get("return_softmax_lse"):
        return torch.empty_like(query), query.new_empty(0, dtype=torch.float32), query.new_empty(0, dtype=torch.float32)
    size = _sums_shape(query)
    return (
        torch.empty_like(query),
        query.new_empty(size, dtype=torch.float32),
        query.new_empty(size, dtype=torch.float32),
    )


def _sums_shape(query: Tensor) -> tuple[int, ...]:
    if query.dim() == 3:
        return (1, *query.shape[:2])
    return (query.shape[0], 1, *query.shape[1:3])


@kernel("npu_sparse_flash_attention", shapes=_attention_shapes)
def sparse_flash_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor | None,
    sparse_indices: Tensor,
    scale_value: float,
    *,
    block_table: Tensor | None = None,
    actual_seq_lengths_query: Tensor | None = None,
    actual_seq_lengths_kv: Tensor | None = None,
    query_rope: Tensor | None = None,
    key_rope: Tensor | None = None,
    sparse_block_size: int = 1,
    layout_query: str = "BSND",
    layout_kv: str = "BSND",
    sparse_mode: int = CAUSAL,
    pre_tokens: int = EVERY_TOKEN,
    next_tokens: int = EVERY_TOKEN,
    attention_mode: int = 0,
    return_softmax_lse: bool = False,
    sinks: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Softmax attention of each row to the blocks of keys that its index [.., 1, count] names; negative is none.

    query [B, S, N, 512] or [T, N, 512] beside query_rope of 64, one head of keys and values of 512 and 64. With
    ``return_softmax_lse`` also the maxima and sums of the softmax, [B, 1, S, N] or [1, T, N].
    """
    operator = "npu_sparse_flash_attention"
    types(operator, HALVES, query=query, key=key, value=value, query_rope=query_rope, key_rope=key_rope)
    same_type(operator, query=query, key=key, value=value)
    types(operator, (torch.int32,), sparse_indices=sparse_indices)
    lengths = actual_seq_lengths_query, actual_seq_lengths_kv, block_table
    _check_sequences(operator, layout_query, layout_kv, sparse_mode, pre_tokens, next_tokens, lengths)
    require(query_rope is not None and key_rope is not None, operator, "query_rope or key_rope", None, "given")
    require(value is not None, operator, "value", None, "given")
    require(sinks is None, operator, "sinks", "given", "None")
    assert query_rope is not None
    assert key_rope is not None
    assert value is not None
    limit(attention_mode == 2, operator, "attention_mode", attention_mode, 2)
    limit(key.shape[-2] == 1, operator, "the heads of key", key.shape[-2], 1)
    sizes = query.shape[-1], key.shape[-1], value.shape[-1], query_rope.shape[-1], key_rope.shape[-1]
    limit(sizes == (512, 512, 512, 64, 64), operator, "the head dimensions", sizes, (512, 512, 512, 64, 64))
    powers = tuple(1 << power for power in range(8))
    limit(sparse_block_size in powers, operator, "sparse_block_size", sparse_block_size, "a power of 2 up to 128")
    limit(not return_softmax_lse or layout_kv != "PA_BSND", operator, "return_softmax_lse", True, "False with PA_BSND")
    rows = torch.cat([wide(query), wide(query_rope)], -1).flatten(0, -3)
    named = sparse_indices.reshape(len(rows), -1)
    keys = _Keys(operator, key, actual_seq_lengths_kv, block_table, layout_kv)
    spans = _spans(operator, "the lengths of query", query, actual_seq_lengths_query, layout_query)
    result = torch.zeros(*rows.shape[:2], value.shape[-1], device=query.device)
    maxima, sums = (torch.zeros(rows.shape[:2], device=query.device) for _ in range(2))
    for at, (first, last) in enumerate(spans):
        everything = torch.cat([wide(keys.of(key, at)), wide(keys.of(key_rope, at))], -1)
        seen = _seen(last - first, len(everything), sparse_mode, query.device)
        for row, count in zip(range(first, last), seen.tolist(), strict=True):
            tokens = _tokens(named[row], sparse_block_size, count)
            if not len(tokens):
                continue
            scores = rows[row] @ everything[tokens].T * scale_value
            maxima[row] = scores.amax(-1)
            powers_of_e = (scores - maxima[row, :, None]).exp()
            sums[row] = powers_of_e.sum(-1)
            result[row] = powers_of_e @ wide(keys.of(value, at))[tokens] / sums[row, :, None]
    output = result.to(query.dtype).view(query.shape)
    if not return_softmax_lse:
        return output, maxima.new_empty(0), maxima.new_empty(0)
    size = _sums_shape(query)
    return output, maxima.view(size), sums.view(size)


def _tokens(blocks: Tensor, size: int, seen: int) -> Tensor:
    """The positions in the blocks of an index, up to what a row sees."""
    blocks = blocks[blocks >= 0].long()
    tokens = (blocks[:, None] * size + torch.arange(size, device=blocks.device)).flatten()
    return tokens[tokens < seen]
