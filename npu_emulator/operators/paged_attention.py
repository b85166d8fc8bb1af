"""Attention on a paged cache as serving engines call it, and writing to it: the Ascend Transformer Boost's operators.

A cache is [blocks, block, kv heads, size]; ``block_table`` [B, blocks] says which blocks hold a sequence, in order. A
slot is a block's number times the block's length, plus the place in it. Lengths may be on the host.
"""

from __future__ import annotations

import torch
from torch import Tensor

from npu_emulator.operators import attention_core as core
from npu_emulator.operators.kv_cache import blocks_of
from npu_emulator.operators.limits import HALVES, dimensions, limit, require, same_type, types
from npu_emulator.operators.registry import kernel

_TYPES = (*HALVES, torch.int8)
_QLENS_BLOCK = 128
_WIDEST, _WIDE = 576, 256  # a head that is wider than the second takes blocks of 128 at most


def _writes(*_: object, **__: object) -> None:
    """What is written has its shape already."""


def _sequence(cache: Tensor, blocks: Tensor, length: int, operator: str) -> Tensor:
    """The first tokens of a sequence, [kv heads, length, size]."""
    return blocks_of(operator, cache, blocks, length, cache.shape[1]).flatten(0, 1)[:length].transpose(0, 1)


def _check(operator: str, query: Tensor, caches: dict[str, Tensor], heads: int, kv_heads: int, out: Tensor) -> None:
    types(operator, HALVES, query=query, out=out)
    same_type(operator, query=query, **caches, out=out)
    fits = kv_heads > 0 and heads % kv_heads == 0
    require(fits, operator, "num_kv_heads", kv_heads, f"a divisor of num_heads, {heads}")
    fits = query.dim() == 3 and query.shape[1] == heads
    require(fits, operator, "query", list(query.shape), f"[tokens, {heads}, size]")
    for name, cache in caches.items():
        fits = cache.dim() == 4 and cache.shape[2] == kv_heads
        require(fits, operator, name, list(cache.shape), f"[blocks, block, {kv_heads}, size]")
        block, size = cache.shape[1], cache.shape[3]
        limit(block % 16 == 0, operator, f"the block of {name}", block, "a multiple of 16")
        limit(size <= _WIDEST, operator, f"a head of {name}", size, f"{_WIDEST} at most")
        if size > _WIDE:
            limit(block <= 128, operator, f"the block of {name}", block, f"128 at most with heads wider than {_WIDE}")


def _by_heads(x: Tensor, dims: int, heads: int) -> Tensor:
    """[..., heads, size], of what may be [..., heads * size]."""
    return torch.unflatten(x, -1, (heads, -1)) if x.dim() == dims - 1 and x.shape[-1] % max(heads, 1) == 0 else x


def _attend(
    operator: str,
    query: Tensor,
    key_cache: Tensor,
    value_cache: Tensor,
    scale: float,
    block_table: Tensor,
    context_lens: Tensor,
    out: Tensor,
    rows: Tensor | None = None,
) -> None:
    """The last ``rows`` tokens of each sequence on all before them; the results of an empty one stay as they are."""
    types(operator, (torch.int32,), block_table=block_table, context_lens=context_lens, seq_len=rows)
    counts = [1] * len(context_lens) if rows is None else rows.tolist()
    require(sum(counts) <= len(query), operator, "query", f"{len(query)} tokens", f"{sum(counts)}")
    require(len(block_table) >= len(counts), operator, "block_table", len(block_table), f"{len(counts)} sequences")
    first = 0
    for blocks, length, count in zip(block_table, context_lens.tolist(), counts, strict=False):
        own = slice(first, first + count)
        first += count
        if not length or not count:
            continue
        require(count <= length, operator, "seq_len", count, f"at most the sequence's context_lens, {length}")
        keys, values = (_sequence(cache, blocks, length, operator) for cache in (key_cache, value_cache))

        def not_later(start: int, stop: int, length: int = length, count: int = count) -> Tensor:
            places = torch.arange(start, stop)[:, None] + length - count
            return torch.arange(length)[None] <= places

        result, _, _ = core.forward(core.Segment(query[own].transpose(0, 1), keys, values, scale, not_later))
        out[own] = result.transpose(0, 1).to(out.dtype)


@kernel("_npu_paged_attention", shapes=_writes, either="context_lens")
def paged_attention(
    query: Tensor,
    key_cache: Tensor,
    value_cache: Tensor,
    num_kv_heads: int,
    num_heads: int,
    scale_value: float,
    block_table: Tensor,
    context_lens: Tensor,
    out: Tensor,
    *,
    workspace: Tensor | None = None,
) -> None:
    """One token [B, heads, size] of each sequence on its ``context_lens`` tokens, into ``out``.

    ``num_kv_heads`` 0 is as many as ``num_heads``.
    """
    operator, num_kv_heads = "_npu_paged_attention", num_kv_heads or num_heads
    _check(operator, query, {"key_cache": key_cache, "value_cache": value_cache}, num_heads, num_kv_heads, out)
    _attend(operator, query, key_cache, value_cache, scale_value, block_table, context_lens, out)


@kernel("_npu_paged_attention_mla", shapes=_writes, either="context_lens")
def paged_attention_mla(
    query: Tensor,
    key_cache: Tensor,
    num_kv_heads: int,
    num_heads: int,
    scale_value: float,
    block_table: Tensor,
    context_lens: Tensor,
    mla_vheadsize: int,
    out: Tensor,
) -> None:
    """The same where a token's values are the first ``mla_vheadsize`` numbers of its key."""
    operator, num_kv_heads = "_npu_paged_attention_mla", num_kv_heads or num_heads
    _check(operator, query, {"key_cache": key_cache}, num_heads, num_kv_heads, out)
    values = key_cache[..., :mla_vheadsize]
    _attend(operator, query, key_cache, values, scale_value, block_table, context_lens, out)


@kernel("_npu_flash_attention_qlens", shapes=_writes, either="seq_len context_lens")
def flash_attention_qlens(
    query: Tensor,
    key_cache: Tensor,
    value_cache: Tensor,
    block_table: Tensor,
    mask: Tensor,
    seq_len: Tensor,
    context_lens: Tensor,
    num_kv_heads: int,
    num_heads: int,
    scale_value: float,
    out: Tensor,
) -> None:
    """The last ``seq_len`` tokens of each sequence, in a row [T, heads, size], each on those before it and itself.

    ``mask`` is the compressed one, the upper triangle of ones, [128, 128]. The heads of all may be in one dimension.
    """
    operator, num_kv_heads = "_npu_flash_attention_qlens", num_kv_heads or num_heads
    query, out = (_by_heads(x, 3, num_heads) for x in (query, out))
    key_cache, value_cache = (_by_heads(x, 4, num_kv_heads) for x in (key_cache, value_cache))
    _check(operator, query, {"key_cache": key_cache, "value_cache": value_cache}, num_heads, num_kv_heads, out)
    limit(key_cache.shape[1] == _QLENS_BLOCK, operator, "the block of key_cache", key_cache.shape[1], _QLENS_BLOCK)
    limit(list(mask.shape) == [_QLENS_BLOCK] * 2, operator, "mask", list(mask.shape), [_QLENS_BLOCK] * 2)
    _attend(operator, query, key_cache, value_cache, scale_value, block_table, context_lens, out, rows=seq_len)


def _store(operator: str, name: str, tokens: Tensor, cache: Tensor, slots: Tensor) -> None:
    types(operator, _TYPES, **{name: tokens})
    types(operator, (torch.int32,), slot_indices=slots)
    dimensions(operator, 3, 3, **{name: tokens})
    same_type(operator, **{name: tokens, f"{name}_cache": cache})
    require(len(tokens) == len(slots), operator, "slot_indices", len(slots), f"{len(tokens)} slots")
    fits = cache.dim() == 4 and cache.shape[2:] == tokens.shape[1:]
    require(
        fits, operator, f"{name}_cache", list(cache.shape), f"[blocks, block, {', '.join(map(str, tokens.shape[1:]))}]"
    )
    used, room = slots.long(), cache.shape[:2].numel()
    require(
        bool((used < room).all()), operator, "slot_indices", int(used.max()) if len(used) else None, f"below {room}"
    )
    there = used >= 0
    cache[used[there] // cache.shape[1], used[there] % cache.shape[1]] = tokens[there]


@kernel("_npu_reshape_and_cache", shapes=_writes)
def reshape_and_cache(key: Tensor, value: Tensor, key_cache: Tensor, value_cache: Tensor, slot_indices: Tensor) -> None:
    """Writes tokens [T, kv heads, size] to their slots of both caches; a negative slot is nowhere."""
    _store("_npu_reshape_and_cache", "key", key, key_cache, slot_indices)
    _store("_npu_reshape_and_cache", "value", value, value_cache, slot_indices)


@kernel("_npu_reshape_and_cache_siso", shapes=_writes)
def reshape_and_cache_siso(key: Tensor, key_cache: Tensor, slot_indices: Tensor) -> None:
    """The same for one cache."""
    _store("_npu_reshape_and_cache_siso", "key", key, key_cache, slot_indices)
