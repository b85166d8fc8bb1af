"""Attention for inference against all scores at once in float64, out of padded, packed and paged keys."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.npu_emulator.operators.holding import close, made

COMPRESSED = torch.ones(2048, 2048).triu(1).bool()
HALF = torch.float16


def attention(
    q: Tensor, k: Tensor, v: Tensor, left_out: Tensor | None = None, scale: float = 1.0
) -> tuple[Tensor, Tensor]:
    """[N, S, D] by definition, and the log of each row's sum."""
    q, k, v = q.double(), k.double(), v.double()
    k, v = (x.repeat_interleave(q.shape[0] // x.shape[0], 0) for x in (k, v))
    scores = q @ k.transpose(-1, -2) * scale
    if left_out is not None:
        scores = scores.masked_fill(left_out, -math.inf)
    return torch.softmax(scores, -1) @ v, torch.logsumexp(scores, -1)


def in_layout(x: Tensor, layout: str) -> Tensor:
    """[B, N, S, D] in a layout of one or two names."""
    return {
        "BNSD": lambda: x,
        "BSND": lambda: x.transpose(1, 2),
        "BSH": lambda: x.transpose(1, 2).flatten(2),
        "NBSD": lambda: x.transpose(0, 1),
    }[layout]().contiguous()


@pytest.mark.parametrize("layout", ["BSH", "BSND", "BNSD", "BNSD_BSND", "BSH_NBSD", "BSND_NBSD", "BNSD_NBSD"])
def test_layouts(layout: str) -> None:
    import torch_npu

    q, k, v = made(2, 4, 5, 8, dtype=HALF), made(2, 2, 7, 8, dtype=HALF), made(2, 2, 7, 8, dtype=HALF)
    taken, _, given = layout.partition("_")
    result, lse = torch_npu.npu_fused_infer_attention_score(
        *(in_layout(x, taken).npu() for x in (q, k, v)),
        num_heads=4,
        num_key_value_heads=2,
        scale=0.3,
        input_layout=layout,
        softmax_lse_flag=True,
    )
    expected, logs = zip(*(attention(a, b, c, scale=0.3) for a, b, c in zip(q, k, v, strict=True)), strict=True)
    close(result, in_layout(torch.stack(expected), given or taken))
    close(lse, torch.stack(logs)[..., None])


@pytest.mark.parametrize("mode", [2, 3, 4])
def test_masks_and_lengths(mode: int) -> None:
    import torch_npu

    q, k, v = made(2, 2, 5, 8, dtype=HALF), made(2, 2, 7, 8, dtype=HALF), made(2, 2, 7, 8, dtype=HALF)
    q_lengths, kv_lengths = [5, 3], [6, 7]
    for name, options in (
        ("npu_fused_infer_attention_score", {"num_heads": 2, "scale": 0.3}),
        ("npu_prompt_flash_attention", {"num_heads": 2, "scale_value": 0.3}),
    ):
        found = getattr(torch_npu, name)(
            q.npu(),
            k.npu(),
            v.npu(),
            input_layout="BNSD",
            actual_seq_lengths=q_lengths,
            actual_seq_lengths_kv=kv_lengths,
            atten_mask=COMPRESSED.npu(),
            sparse_mode=mode,
            pre_tokens=2,
            next_tokens=1,
            **options,
        )
        found = found[0] if isinstance(found, tuple) else found
        for index, (rows, columns) in enumerate(zip(q_lengths, kv_lengths, strict=True)):
            i, j = torch.arange(rows)[:, None], torch.arange(columns)[None]
            shift = columns - rows
            computed = {2: j <= i, 3: j <= i + shift, 4: (j >= i + shift - 2) & (j <= i + shift + 1)}[mode]
            expected, _ = attention(q[index, :, :rows], k[index, :, :columns], v[index, :, :columns], ~computed, 0.3)
            close(found[index, :, :rows], expected)
            assert not found[index, :, rows:].any()


@pytest.mark.parametrize("layout", ["TND", "TND_NTD", "NTD_TND"])
def test_packed_with_rope_and_sink(layout: str) -> None:
    import torch_npu

    kind = torch.bfloat16
    q, k, v = made(6, 4, 8, dtype=kind), made(9, 2, 8, dtype=kind), made(9, 2, 8, dtype=kind)
    q_rope, k_rope, sink = made(6, 4, 4, dtype=kind), made(9, 2, 4, dtype=kind), made(4, dtype=kind)
    flip = layout.startswith("NTD")
    given = [(x.transpose(0, 1).contiguous() if flip else x).npu() for x in (q, k, v, q_rope, k_rope)]
    result, lse = torch_npu.npu_fused_infer_attention_score_v2(
        *given[:3],
        query_rope=given[3],
        key_rope=given[4],
        num_query_heads=4,
        num_key_value_heads=2,
        softmax_scale=0.3,
        input_layout=layout,
        actual_seq_qlen=[2, 6],
        actual_seq_kvlen=[4, 9],
        return_softmax_lse=True,
        learnable_sink=sink.npu(),
        sparse_mode=3,
        atten_mask=COMPRESSED.npu(),
    )
    q, k = torch.cat((q, q_rope), -1).double(), torch.cat((k, k_rope), -1).double()
    parts, logs = [], []
    for a, b, c, d in ((0, 2, 0, 4), (2, 6, 4, 9)):
        one_q, one_k, one_v = (x.transpose(0, 1) for x in (q[a:b], k[c:d], v[c:d].double()))
        one_k, one_v = (x.repeat_interleave(2, 0) for x in (one_k, one_v))
        scores = one_q @ one_k.transpose(-1, -2) * 0.3
        i, j = torch.arange(b - a)[:, None], torch.arange(d - c)[None]
        scores = scores.masked_fill(j > i + (d - c) - (b - a), -math.inf)
        with_sink = torch.cat((scores, sink.double().view(4, 1, 1).expand(4, b - a, 1)), -1)
        parts.append((torch.softmax(with_sink, -1)[..., :-1] @ one_v).transpose(0, 1))
        logs.append(torch.logsumexp(with_sink, -1).t())
    expected = torch.cat(parts)
    close(result, expected.transpose(0, 1) if layout.endswith("_NTD") else expected)
    close(lse, torch.cat(logs)[..., None])


@pytest.mark.parametrize("by_token", [True, False])
def test_paged_keys(by_token: bool) -> None:
    import torch_npu

    block, lengths = 16, [20, 7]
    k, v = made(2, 2, 32, 8, dtype=HALF), made(2, 2, 32, 8, dtype=HALF)
    q = made(2, 4, 1, 8, dtype=HALF)
    table = torch.tensor([[3, 1], [2, 0]], dtype=torch.int32)

    def paged(x: Tensor) -> Tensor:
        pages = torch.zeros(4, block, 2, 8, dtype=HALF)
        for sequence in range(2):
            for index in range(2):
                pages[table[sequence, index]] = x[sequence, :, index * block : (index + 1) * block].transpose(0, 1)
        return pages.flatten(2) if by_token else pages.transpose(1, 2).contiguous()

    expected = torch.stack([attention(q[i], k[i, :, :n], v[i, :, :n], scale=0.3)[0] for i, n in enumerate(lengths)])
    options: dict[str, Any] = {"block_table": table.npu(), "block_size": block, "num_key_value_heads": 2}
    found = torch_npu.npu_incre_flash_attention(
        q.npu(),
        paged(k).npu(),
        paged(v).npu(),
        actual_seq_lengths=lengths,
        num_heads=4,
        scale_value=0.3,
        input_layout="BNSD",
        **options,
    )
    close(found, expected)
    result, lse = torch_npu.npu_fused_infer_attention_score(
        q.npu(),
        paged(k).npu(),
        paged(v).npu(),
        actual_seq_lengths_kv=lengths,
        num_heads=4,
        scale=0.3,
        input_layout="BNSD",
        **options,
    )
    close(result, expected)
    assert lse.tolist() == [0.0]
    with pytest.raises(RuntimeError, match=r"block_table is \[3, 4\], expected blocks of the cache, 0 to 3"):
        torch_npu.npu_incre_flash_attention(
            q.npu(),
            paged(k).npu(),
            paged(v).npu(),
            actual_seq_lengths=lengths,
            num_heads=4,
            input_layout="BNSD",
            **options | {"block_table": torch.tensor([[3, 4], [2, 0]], dtype=torch.int32).npu()},
        )
    out, log = torch.empty_like(result), torch.empty(1).npu()
    torch_npu.npu_fused_infer_attention_score.out(
        q.npu(),
        paged(k).npu(),
        paged(v).npu(),
        actual_seq_lengths_kv=lengths,
        num_heads=4,
        scale=0.3,
        input_layout="BNSD",
        **options,
        attention_out=out,
        softmax_lse=log,
    )
    assert torch.equal(out, result)


def test_keys_in_int8_and_result_in_int8() -> None:
    import torch_npu

    q = made(2, 2, 1, 8, dtype=HALF)
    k, v = (torch.randint(-90, 90, (2, 2, 5, 8), dtype=torch.int8) for _ in range(2))
    scale, offset = (torch.rand(2, 2, 1, 8) * 0.02).half(), made(2, 2, 1, 8, dtype=HALF)
    plain = [(x.double() + offset[i].double()) * scale[i].double() for i, x in enumerate((k, v))]
    expected = torch.stack([attention(q[i], plain[0][i], plain[1][i], scale=0.3)[0] for i in range(2)])
    options = {"num_heads": 2, "scale_value": 0.3, "input_layout": "BNSD"}
    quantized = {"antiquant_scale": scale.npu(), "antiquant_offset": offset.npu()}
    on_device = [x.npu() for x in (q, k, v)]
    close(torch_npu.npu_incre_flash_attention(*on_device, **options, **quantized), expected)
    found = torch_npu.npu_incre_flash_attention(
        *on_device, **options, **quantized, quant_scale2=torch.tensor([40.0]).npu()
    )
    assert found.dtype == torch.int8
    assert (found.cpu().double() - (expected * 40).clamp(-128, 127)).abs().max() <= 0.51


def test_limits() -> None:
    import torch_npu

    x = torch.ones(1, 2, 3, 8, dtype=HALF).npu()
    score = torch_npu.npu_fused_infer_attention_score
    with pytest.raises(RuntimeError, match="query is float32, expected float16 or bfloat16"):
        score(x.float(), x.float(), x.float(), num_heads=2, input_layout="BNSD")
    with pytest.raises(RuntimeError, match="num_key_value_heads is 3, expected a divisor of 2"):
        score(x, x, x, num_heads=2, num_key_value_heads=3, input_layout="BNSD")
    with pytest.raises(RuntimeError, match="atten_mask is None, expected a mask for sparse_mode 3"):
        score(x, x, x, num_heads=2, input_layout="BNSD", sparse_mode=3)
    with pytest.raises(RuntimeError, match="sparse_mode is 5, expected 0 or 1 or 2 or 3 or 4"):
        score(x, x, x, num_heads=2, input_layout="BNSD", sparse_mode=5)
    with pytest.raises(RuntimeError, match="the length of query is 3, expected 1"):
        torch_npu.npu_incre_flash_attention(x, x, x, num_heads=2, input_layout="BNSD")
    with pytest.raises(NotImplementedError, match="with key_shared_prefix works on Ascend hardware"):
        score(x, x, x, num_heads=2, input_layout="BNSD", key_shared_prefix=x)
