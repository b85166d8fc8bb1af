"""The index of the best keys and attention to them, against loops in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.npu_emulator.operators.holding import close, made


def paged(rows: Tensor, block: int, table: Tensor) -> Tensor:
    """Sequences [B, S, 1, D] in blocks, where the table says."""
    cache = torch.zeros(int(table.max()) + 1, block, *rows.shape[2:], dtype=rows.dtype)
    for sequence, blocks in zip(rows, table, strict=True):
        for at, number in enumerate(blocks.tolist()):
            cache[number] = sequence[at * block : (at + 1) * block]
    return cache


@pytest.mark.parametrize("layout", ["BSND", "TND", "PA_BSND"])
@pytest.mark.parametrize("mode", [0, 3])
def test_the_index(layout: str, mode: int) -> None:
    import torch_npu

    query, key, weights = made(2, 3, 4, 128).half(), made(2, 32, 1, 128).half(), made(2, 3, 4).half()
    lengths = torch.tensor([32, 20], dtype=torch.int32)
    expected = torch.full((2, 3, 1, 25), -1, dtype=torch.int32)
    for batch, row in ((b, r) for b in range(2) for r in range(3)):
        seen = int(lengths[batch]) - (2 - row if mode == 3 else 0)
        products = (query[batch, row].double() @ key[batch, :seen, 0].double().T).relu()
        best = (products * weights[batch, row, :, None]).sum(0).topk(min(25, seen)).indices
        expected[batch, row, 0, : len(best)] = best.int()
    options: dict[str, object] = {"sparse_count": 25, "sparse_mode": mode, "layout_key": layout}
    if layout == "TND":
        flat = torch.cat([key[0], key[1, :20]])
        counts = {"actual_seq_lengths_query": [3, 6], "actual_seq_lengths_key": [32, 52]}
        given = {name: torch.tensor(value, dtype=torch.int32).npu() for name, value in counts.items()}
        found, _ = torch_npu.npu_lightning_indexer(
            query.flatten(0, 1).npu(), flat.npu(), weights.flatten(0, 1).npu(), layout_query="TND", **given, **options
        )
        assert torch.equal(found.cpu(), expected.flatten(0, 1))
        return
    table = torch.tensor([[3, 0], [1, 2]], dtype=torch.int32)
    if layout == "PA_BSND":
        key, options = paged(key, 16, table), {**options, "block_table": table.npu()}
    found, none = torch_npu.npu_lightning_indexer(
        query.npu(), key.npu(), weights.npu(), actual_seq_lengths_key=lengths.npu(), **options
    )
    assert torch.equal(found.cpu(), expected)
    assert none.numel() == 0


def attention(query: Tensor, key: Tensor, value: Tensor, tokens: list[int]) -> Tensor:
    return torch.softmax(query.double() @ key[tokens].double().T * 0.1, -1) @ value[tokens].double()


@pytest.mark.parametrize("block", [1, 4])
@pytest.mark.parametrize("layout", ["BSND", "PA_BSND"])
def test_attention_to_the_chosen(layout: str, block: int) -> None:
    import torch_npu

    parts = [(2, 3, 2, 512), (2, 3, 2, 64), (2, 32, 1, 512), (2, 32, 1, 64)]
    query, query_rope, key, key_rope = (made(*size, spread=0.3).bfloat16() for size in parts)
    index = torch.stack([torch.randperm(32 // block)[:5] for _ in range(6)]).int().view(2, 3, 1, 5)
    index[..., 4] = -1
    expected, whole_key = torch.zeros(2, 3, 2, 512).double(), torch.cat([key, key_rope], -1)
    for batch, row in ((b, r) for b in range(2) for r in range(3)):
        starts = [at * block for at in index[batch, row, 0].tolist() if at >= 0]
        tokens = [token for start in starts for token in range(start, start + block) if token <= 29 + row]
        whole_query = torch.cat([query, query_rope], -1)[batch, row]
        expected[batch, row] = attention(whole_query, whole_key[batch, :, 0], key[batch, :, 0], tokens)
    options: dict[str, object] = {"layout_kv": layout, "sparse_block_size": block, "attention_mode": 2}
    table = torch.tensor([[3, 0], [1, 2]], dtype=torch.int32)
    if layout == "PA_BSND":
        key, key_rope = paged(key, 16, table), paged(key_rope, 16, table)
        options |= {"block_table": table.npu(), "actual_seq_lengths_kv": torch.tensor([32, 32]).int().npu()}
    given = query.npu(), key.npu(), key.npu(), index.npu(), 0.1
    ropes = {"query_rope": query_rope.npu(), "key_rope": key_rope.npu()}
    close(torch_npu.npu_sparse_flash_attention(*given, **ropes, **options)[0], expected)
    if layout == "BSND":
        _, maxima, sums = torch_npu.npu_sparse_flash_attention(*given, **ropes, **options, return_softmax_lse=True)
        assert maxima.shape == sums.shape == (2, 1, 3, 2)
        assert (sums.cpu() >= 1).all()


def test_limits() -> None:
    import torch_npu

    query, key, weights = (made(1, 2, *size).half().npu() for size in ((4, 128), (1, 128), (4,)))
    with pytest.raises(RuntimeError, match="npu_lightning_indexer: sparse_count is 2049, expected 1 to 2048"):
        torch_npu.npu_lightning_indexer(query, key, weights, sparse_count=2049)
    with pytest.raises(RuntimeError, match="the layout of key is 'TND', expected PA_BSND or BSND"):
        torch_npu.npu_lightning_indexer(query, key, weights, layout_key="TND")
    with pytest.raises(RuntimeError, match="the head dimension is 64, expected 128"):
        torch_npu.npu_lightning_indexer(query[..., :64], key[..., :64], weights)
    index = torch.zeros(1, 2, 1, 1, dtype=torch.int32).npu()
    with pytest.raises(RuntimeError, match="query_rope or key_rope is None, expected given"):
        torch_npu.npu_sparse_flash_attention(query, key, key, index, 1.0)
    with pytest.raises(RuntimeError, match="attention_mode is 0, expected 2"):
        torch_npu.npu_sparse_flash_attention(query, key, key, index, 1.0, query_rope=query, key_rope=key)
