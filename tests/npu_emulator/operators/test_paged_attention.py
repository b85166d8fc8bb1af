"""Serving engines' operators on paged caches, against all scores at once in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.npu_emulator.operators.holding import close, made

HALF = torch.float16
LENGTHS = [20, 1, 33]


def attention(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """The last rows [S, N, D] of a sequence, each on what is not after it, by definition."""
    q, k, v = (x.double().transpose(0, 1) for x in (query, key, value))
    k, v = (x.repeat_interleave(len(q) // len(x), 0) for x in (k, v))
    later = torch.ones(q.shape[1], k.shape[1]).triu(k.shape[1] - q.shape[1] + 1).bool()
    return (torch.softmax((q @ k.mT * scale).masked_fill(later, -math.inf), -1) @ v).transpose(0, 1)


def stored(tokens: list[Tensor], block: int) -> tuple[Tensor, Tensor, Tensor]:
    """A cache with the sequences in blocks of any order, its table, and each token's slot."""
    import torch_npu

    counts = [-(-len(each) // block) for each in tokens]
    order = torch.randperm(sum(counts))
    table = torch.zeros(len(tokens), max(counts), dtype=torch.int32)
    slots = []
    for row, (each, blocks) in enumerate(zip(tokens, order.split(counts), strict=True)):
        table[row, : len(blocks)] = blocks
        places = torch.arange(len(each))
        slots.append(blocks[places // block] * block + places % block)
    slot = torch.cat(slots).int()
    cache = torch.zeros(sum(counts), block, *tokens[0].shape[1:], dtype=tokens[0].dtype).npu()
    torch_npu._npu_reshape_and_cache_siso(torch.cat(tokens).npu(), cache, slot.npu())
    return cache, table, slot


def test_a_token_of_each_sequence() -> None:
    import torch_npu

    keys, values = ([made(length, 2, size, dtype=HALF) for length in LENGTHS] for size in (8, 6))
    query = made(len(LENGTHS), 4, 8, dtype=HALF)
    torch.manual_seed(1)
    key_cache, table, slots = stored(keys, 16)
    value_cache = torch.zeros(*key_cache.shape[:3], 6, dtype=HALF).npu()
    torch_npu._npu_reshape_and_cache(
        torch.cat(keys).npu(), torch.cat(values).npu(), key_cache, value_cache, slots.npu()
    )
    expected = torch.cat([attention(q[None], k, v, 0.3) for q, k, v in zip(query, keys, values, strict=True)])
    lengths = torch.tensor(LENGTHS, dtype=torch.int32)
    for given in (lengths, lengths.npu()):  # either side
        out = torch.zeros(len(LENGTHS), 4, 6, dtype=HALF).npu()
        call = (query.npu(), key_cache, value_cache, 2, 4, 0.3, table.npu(), given, out)
        assert torch_npu._npu_paged_attention(*call) is None
        close(out, expected)
    out.zero_()
    torch.ops.atb._npu_paged_attention(*call)
    close(out, expected)


def test_values_that_are_part_of_the_keys() -> None:
    import torch_npu

    keys = [made(length, 1, 12, dtype=HALF) for length in LENGTHS]
    query = made(len(LENGTHS), 4, 12, dtype=HALF)
    cache, table, _ = stored(keys, 16)
    out = torch.zeros(len(LENGTHS), 4, 8, dtype=HALF).npu()
    torch_npu._npu_paged_attention_mla(
        query=query.npu(),
        key_cache=cache,
        num_kv_heads=1,
        num_heads=4,
        scale_value=0.3,
        block_table=table.npu(),
        context_lens=torch.tensor(LENGTHS, dtype=torch.int32),
        mla_vheadsize=8,
        out=out,
    )
    close(out, torch.cat([attention(q[None], k, k[..., :8], 0.3) for q, k in zip(query, keys, strict=True)]))


def test_the_last_tokens_of_each_sequence() -> None:
    import torch_npu

    kind, rows, lengths = torch.bfloat16, [3, 130], [5, 200]
    keys, values = ([made(length, 2, 8, dtype=kind) for length in lengths] for _ in range(2))
    queries = [made(count, 4, 8, dtype=kind) for count in rows]
    torch.manual_seed(1)
    key_cache, table, _ = stored(keys, 128)
    torch.manual_seed(1)
    value_cache, _, _ = stored(values, 128)
    out = torch.zeros(sum(rows), 4, 8, dtype=kind).npu()
    mask = torch.ones(128, 128, dtype=kind).triu(1).npu()
    counts = (torch.tensor(rows, dtype=torch.int32), torch.tensor(lengths, dtype=torch.int32))
    torch_npu._npu_flash_attention_qlens(
        torch.cat(queries).npu(), key_cache, value_cache, table.npu(), mask, *counts, 2, 4, 0.3, out
    )
    expected = torch.cat([attention(*each, 0.3) for each in zip(queries, keys, values, strict=True)])
    close(out, expected)
    flat = torch.zeros(sum(rows), 32, dtype=kind).npu()  # as serving engines have it
    for caches in ((key_cache, value_cache), (key_cache.flatten(2), value_cache.flatten(2))):
        torch_npu._npu_flash_attention_qlens(
            torch.cat(queries).flatten(1).npu(), *caches, table.npu(), mask, *counts, 2, 4, 0.3, flat.zero_()
        )
        close(flat, expected.flatten(1))
    small = key_cache[:, :16].contiguous()
    with pytest.raises(RuntimeError, match="the block of key_cache is 16, expected 128"):
        torch_npu._npu_flash_attention_qlens(
            torch.cat(queries).npu(), small, small, table.npu(), mask, *counts, 2, 4, 0.3, out
        )


def test_a_negative_slot_is_nowhere() -> None:
    import torch_npu

    tokens, cache = made(3, 1, 4).half(), torch.zeros(2, 2, 1, 4).half().npu()
    torch_npu._npu_reshape_and_cache_siso(tokens.npu(), cache, torch.tensor([3, -1, 0], dtype=torch.int32).npu())
    expected = torch.stack([tokens[2], torch.zeros(1, 4).half(), torch.zeros(1, 4).half(), tokens[0]])
    assert torch.equal(cache.cpu().flatten(0, 1), expected)


def test_as_many_heads_of_keys_as_of_queries() -> None:
    import torch_npu

    torch.manual_seed(3)
    keys = [made(length, 4, 8, dtype=HALF) for length in LENGTHS]
    query = made(len(LENGTHS), 4, 8, dtype=HALF)
    cache, table, _ = stored(keys, 32)
    lengths = torch.tensor(LENGTHS, dtype=torch.int32)
    out = torch.zeros(len(LENGTHS), 4, 8, dtype=HALF).npu()
    torch_npu._npu_paged_attention(query.npu(), cache, cache, 0, 4, 0.3, table.npu(), lengths, out)
    close(out, torch.cat([attention(q[None], k, k, 0.3) for q, k in zip(query, keys, strict=True)]))


def test_an_empty_sequence_and_more_queries_than_sequences() -> None:
    import torch_npu

    keys = [made(20, 1, 8, dtype=HALF), made(16, 1, 8, dtype=HALF)]
    query, (cache, table, _) = made(4, 2, 8, dtype=HALF), stored(keys, 16)
    lengths, out = torch.tensor([20, 0], dtype=torch.int32), torch.full((4, 2, 8), 7.0).half().npu()
    torch_npu._npu_paged_attention(query.npu(), cache, cache, 1, 2, 0.3, table.npu(), lengths, out)
    close(out[:1], attention(query[:1], keys[0], keys[0], 0.3))
    assert bool((out[1:] == 7).all())


def test_limits() -> None:
    import torch_npu

    query, cache, out = torch.ones(1, 4, 8).half().npu(), torch.ones(2, 16, 2, 8).half().npu(), torch.ones(1, 4, 8)
    table, lengths = torch.zeros(1, 2, dtype=torch.int32).npu(), torch.tensor([40], dtype=torch.int32)
    out = out.half().npu()
    call = torch_npu._npu_paged_attention
    with pytest.raises(RuntimeError, match="block_table is 2 blocks wide, expected 3 for 40 tokens"):
        call(query, cache, cache, 2, 4, 1.0, table, lengths, out)
    with pytest.raises(RuntimeError, match="num_kv_heads is 3, expected a divisor of num_heads, 4"):
        call(query, cache, cache, 3, 4, 1.0, table, lengths, out)
    with pytest.raises(RuntimeError, match=r"key_cache is \[2, 16, 2, 8\], expected \[blocks, block, 1, size\]"):
        call(query, cache, cache, 1, 4, 1.0, table, lengths, out)
    with pytest.raises(RuntimeError, match="out is float32, expected float16 or bfloat16"):
        call(query, cache, cache, 2, 4, 1.0, table, lengths, out.float())
    with pytest.raises(RuntimeError, match="block_table is int64, expected int32"):
        call(query, cache, cache, 2, 4, 1.0, table.long(), lengths, out)
    with pytest.raises(RuntimeError, match="context_lens is int64, expected int32"):
        call(query, cache, cache, 2, 4, 1.0, table, lengths.long(), out)
    with pytest.raises(RuntimeError, match=r"block_table is \[-1\], expected blocks of the cache, 0 to 1"):
        call(query, cache, cache, 2, 4, 1.0, table - 1, torch.ones_like(lengths), out)
    narrow = cache[:, :8].contiguous()
    with pytest.raises(RuntimeError, match="the block of key_cache is 8, expected a multiple of 16"):
        call(query, narrow, narrow, 2, 4, 1.0, table, lengths, out)
    deep = torch.ones(1, 256, 1, 512).half().npu()
    wide = torch.ones(1, 4, 512).half().npu()
    with pytest.raises(
        RuntimeError, match="the block of key_cache is 256, expected 128 at most with heads wider than 256"
    ):
        call(wide, deep, deep, 1, 4, 1.0, table, lengths, wide)
    tokens = torch.ones(1, 2, 8).half().npu()
    with pytest.raises(RuntimeError, match="slot_indices is 32, expected below 32"):
        torch_npu._npu_reshape_and_cache_siso(tokens, cache, torch.tensor([32], dtype=torch.int32).npu())
    with pytest.raises(RuntimeError, match="slot_indices is int64, expected int32"):
        torch_npu._npu_reshape_and_cache_siso(tokens, cache, torch.tensor([3]).npu())
