"""Attention for training against all scores at once in float64, and its gradients against autograd's of those."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.npu_emulator.operators.holding import TYPES, check_gradient, close, made

COMPRESSED = torch.ones(2048, 2048).triu(1).bool()


def attention(q: Tensor, k: Tensor, v: Tensor, left_out: Tensor | None = None, **options: Any) -> Tensor:
    """[B, N, S, D] by definition; options: scale, before, after, sink, factor."""
    k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], 1) for x in (k, v))
    scores = torch.einsum("bnqd,bnkd->bnqk", q, k)
    scores = (scores + options.get("before", 0)) * options.get("scale", 1.0) + options.get("after", 0)
    if left_out is not None:
        scores = scores.masked_fill(left_out, -math.inf)
    if "sink" in options:
        sink = options["sink"].view(1, -1, 1, 1).expand(*scores.shape[:3], 1)
        weights = torch.softmax(torch.cat((scores, sink), -1), -1)[..., :-1]
    else:
        weights = torch.nan_to_num(torch.softmax(scores, -1))
    return (weights * options.get("factor", 1)) @ v


def to_layout(x: Tensor, layout: str) -> Tensor:
    """[B, N, S, D] in a layout."""
    return {
        "BNSD": lambda: x,
        "BSND": lambda: x.transpose(1, 2),
        "BSH": lambda: x.transpose(1, 2).flatten(2),
        "SBH": lambda: x.permute(2, 0, 1, 3).flatten(2),
    }[layout]()


def inputs(batch: int = 2, heads: int = 4, kv_heads: int = 4, rows: int = 6, columns: int = 6, width: int = 8):
    return made(batch, heads, rows, width), *(made(batch, kv_heads, columns, width) for _ in range(2))


def both(expected: Any, found: Any, *tensors: Tensor) -> None:
    """Holds a result and its gradients against the reference's; ``found`` takes npu tensors, both give [B, N, S, D]."""
    reference = [x.double().requires_grad_() for x in tensors]
    formula = expected(*reference)
    grad = torch.randn_like(formula)
    ours = [x.npu().requires_grad_() for x in tensors]
    result = found(*ours)
    close(result.detach(), formula.detach())
    gradients = torch.autograd.grad(formula, reference, grad)
    for part, wanted in zip(torch.autograd.grad(result, ours, grad.float().npu()), gradients, strict=True):
        close(part, wanted)


@pytest.mark.parametrize("layout", ["BNSD", "BSND", "BSH", "SBH"])
def test_layouts_and_shared_heads(layout: str) -> None:
    import torch_npu

    for dtype in TYPES:
        q, k, v = (x.to(dtype) for x in inputs(kv_heads=2, columns=7))
        result, top, total, softmax, *_ = torch_npu.npu_fusion_attention(
            *(to_layout(x, layout).npu() for x in (q, k, v)), 4, layout, scale=0.3
        )
        close(result, to_layout(attention(q.double(), k.double(), v.double(), scale=0.3), layout))
        scores = 0.3 * q.double() @ k.double().repeat_interleave(2, 1).transpose(-1, -2)
        assert top.shape == total.shape == (2, 4, 6, 8)
        close(top[..., 3], scores.amax(-1))
        close(total[..., 5], torch.exp(scores - scores.amax(-1, keepdim=True)).sum(-1))
        assert softmax.numel() == 0


def test_gradients_by_differences() -> None:
    import torch_npu

    mask = torch.rand(3, 4).lt(0.3)
    mask[:, 0] = False

    def call(q: Tensor, k: Tensor, v: Tensor, pse: Tensor, sink: Tensor) -> Tensor:
        return torch_npu.npu_fusion_attention(q, k, v, 2, "BNSD", scale=0.7, pse=pse, sink=sink, atten_mask=mask.npu())[
            0
        ]

    check_gradient(call, made(1, 2, 3, 2), made(1, 1, 4, 2), made(1, 1, 4, 2), made(1, 2, 3, 4), made(2))


def left_out(mode: int, rows: int, columns: int, pre: int = 0, after: int = 0, prefix: int = 0) -> Tensor:
    """Pairs that a mode does not compute, cell by cell from the words of the description."""
    cells = torch.ones(rows, columns, dtype=torch.bool)
    shift = columns - rows
    for i in range(rows):
        for j in range(columns):
            computed = {
                0: i - pre <= j <= i + after,
                2: j <= i,
                3: j <= i + shift,
                4: i + shift - pre <= j <= i + shift + after,
                6: j <= i + shift or j < prefix,
            }[mode]
            cells[i, j] = not computed
    return cells


@pytest.mark.parametrize(("rows", "columns"), [(6, 6), (4, 7), (7, 4)])
@pytest.mark.parametrize("mode", [2, 3, 4])
def test_compressed_masks(mode: int, rows: int, columns: int) -> None:
    import torch_npu

    cells = left_out(mode, rows, columns, 3, 1)
    both(
        lambda q, k, v: attention(q, k, v, cells, scale=0.4),
        lambda q, k, v: torch_npu.npu_fusion_attention(
            q,
            k,
            v,
            4,
            "BNSD",
            scale=0.4,
            atten_mask=COMPRESSED.npu(),
            sparse_mode=mode,
            pre_tockens=3,
            next_tockens=1,
        )[0],
        *inputs(rows=rows, columns=columns),
    )


@pytest.mark.parametrize("shape", [(6, 7), (1, 1, 6, 7), (2, 1, 6, 7), (2, 4, 6, 7)])
def test_whole_masks(shape: tuple[int, ...]) -> None:
    import torch_npu

    mask = torch.rand(shape) < 0.4
    mask[..., 0] = False
    for mode in (0, 1):
        both(
            lambda q, k, v: attention(q, k, v, mask),
            lambda q, k, v, mode=mode: torch_npu.npu_fusion_attention(
                q, k, v, 4, "BNSD", atten_mask=mask.npu(), sparse_mode=mode
            )[0],
            *inputs(columns=7),
        )


def test_bands_are_honoured_and_ignored_as_on_hardware() -> None:
    import torch_npu

    q, k, v = (x.npu() for x in inputs())
    nothing = torch.zeros(6, 6, dtype=torch.bool).npu()
    found = torch_npu.npu_fusion_attention(q, k, v, 4, "BNSD", atten_mask=nothing, pre_tockens=1, next_tockens=0)[0]
    expected = attention(*(x.cpu().double() for x in (q, k, v)), left_out(0, 6, 6, 1, 0))
    close(found, expected)
    with pytest.warns(UserWarning, match="without atten_mask the hardware ignores sparse_mode=0, and pre and next"):
        found = torch_npu.npu_fusion_attention(q, k, v, 4, "BNSD", pre_tockens=1, next_tockens=0)[0]
    close(found, attention(*(x.cpu().double() for x in (q, k, v))))


def test_prefix() -> None:
    import torch_npu

    q, k, v = inputs(rows=5, columns=7)
    prefix = [3, 5]
    cells = torch.stack([left_out(6, 5, 7, prefix=n) for n in prefix])[:, None]
    compressed = torch.ones(3072, 2048, dtype=torch.bool).triu(1)
    compressed[2048:, :1024], compressed[2048:, 1024:] = False, True
    options = {"prefix": prefix, "scale": 0.5}
    for mode, mask in ((5, cells), (6, compressed)):
        both(
            lambda q, k, v: attention(q, k, v, cells, scale=0.5),
            lambda q, k, v, mode=mode, mask=mask: torch_npu.npu_fusion_attention(
                q, k, v, 4, "BNSD", atten_mask=mask.npu(), sparse_mode=mode, **options
            )[0],
            q,
            k,
            v,
        )


@pytest.mark.parametrize("mode", [None, 0, 1, 2, 3, 4, 7, 8])
def test_packed_sequences(mode: int | None) -> None:
    import torch_npu

    q_lengths, kv_lengths = [3, 0, 5, 4], [4, 2, 5, 6]
    bounds = [(0, 3, 0, 4), (3, 3, 4, 6), (3, 8, 6, 11), (8, 12, 11, 17)]
    q, k, v = made(13, 4, 8), made(17, 2, 8), made(17, 2, 8)  # one more query belongs to no sequence
    options: dict[str, Any] = {}
    mask = None
    if mode is not None:
        mask = torch.rand(5, 6) < 0.3 if mode < 2 else COMPRESSED
        if mode < 2:
            mask[:, 0] = False
        options = {"sparse_mode": mode, "pre_tockens": 6, "next_tockens": -1 if mode == 7 else 1}

    def cells(index: int, rows: int, columns: int) -> Tensor | None:
        if mode is None:
            return None
        if mode < 2:
            given = mask[:rows, :columns]
            return given | left_out(0, rows, columns, 6, 1) if mode == 0 else given
        if mode == 7:
            return left_out(4, rows, columns, 6, -1) if index == 3 else left_out(3, rows, columns)
        if mode == 8:
            return left_out(4, rows, columns, 6, 1) if index == 0 else left_out(2, rows, columns)
        return left_out(mode, rows, columns, 6, 1)

    def expected(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        parts = []
        for index, (first, last, start, end) in enumerate(bounds):
            piece = [x.transpose(0, 1)[None] for x in (q[first:last], k[start:end], v[start:end])]
            parts.append(attention(*piece, cells(index, last - first, end - start), scale=0.4)[0].transpose(0, 1))
        return torch.cat((*parts, q.new_zeros(1, 4, 8)))

    ends = [torch.tensor(lengths).cumsum(0).tolist() for lengths in (q_lengths, kv_lengths)]
    both(
        expected,
        lambda q, k, v: torch_npu.npu_fusion_attention(
            q,
            k,
            v,
            4,
            "TND",
            scale=0.4,
            atten_mask=None if mask is None else mask.npu(),
            actual_seq_qlen=ends[0],
            actual_seq_kvlen=ends[1],
            **options,
        )[0],
        q,
        k,
        v,
    )


def test_packed_statistics_lie_head_by_head_unless_asked_otherwise() -> None:
    import torch_npu

    q, k, v = (made(5, 2, 8).npu() for _ in range(3))
    options = {"actual_seq_qlen": [2, 5, 0], "actual_seq_kvlen": [2, 5, 0]}
    by_token = torch_npu.npu_fusion_attention(q, k, v, 2, "TND", softmax_layout="TND", **options)
    by_head = torch_npu.npu_fusion_attention(q, k, v, 2, "TND", **options)
    assert by_token[1].shape == by_head[1].shape == (5, 2, 8)
    assert by_token[6] == by_head[6] == 2 * (2 * 2 + 3 * 3)
    for of_token, of_head in zip(by_token[1:3], by_head[1:3], strict=True):
        heads = [of_head.reshape(-1, 8)[a:b].view(2, -1, 8) for a, b in ((0, 4), (4, 10))]
        assert torch.equal(torch.cat([part.transpose(0, 1) for part in heads]), of_token)
    gradients = []
    for layout in ("", "TND"):
        ours = [x.clone().requires_grad_() for x in (q, k, v)]
        torch_npu.npu_fusion_attention(*ours, 2, "TND", softmax_layout=layout, **options)[0].square().sum().backward()
        gradients.append([x.grad for x in ours])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("shape", [(2, 4, 6, 7), (1, 4, 6, 7), (2, 4, 1, 7)])
@pytest.mark.parametrize("pse_type", [0, 1])
def test_position_bias(shape: tuple[int, ...], pse_type: int) -> None:
    import torch_npu

    both(
        lambda q, k, v, pse: attention(q, k, v, scale=0.4, **{"before" if pse_type else "after": pse}),
        lambda q, k, v, pse: torch_npu.npu_fusion_attention_v2(
            q, k, v, 4, "BNSD", pse=pse, scale=0.4, pse_type=pse_type
        )[0],
        *inputs(columns=7),
        made(*shape),
    )


@pytest.mark.parametrize("pse_type", [2, 3])
def test_slopes_make_the_bias(pse_type: int) -> None:
    import torch_npu

    q, k, v = inputs()
    slopes = torch.rand(4)
    distance = (torch.arange(6)[:, None] + 3 - torch.arange(6)).abs().double()
    bias = -slopes.double()[:, None, None] * (distance.sqrt() if pse_type == 3 else distance)
    found = torch_npu.npu_fusion_attention_v2(
        q.npu(), k.npu(), v.npu(), 4, "BNSD", pse=slopes.npu(), scale=0.4, pse_type=pse_type, q_start_idx=[3]
    )[0]
    close(found, attention(q.double(), k.double(), v.double(), scale=0.4, after=bias))


def test_compressed_alibi() -> None:
    import torch_npu

    size = 1100
    q, k, v = inputs(1, 2, 2, size, size, 4)
    slopes = torch.tensor([0.5, 0.25]).view(1, 2, 1, 1)
    bias = -slopes * (torch.arange(size)[:, None] - torch.arange(size)).abs()
    options = {"scale": 0.5, "atten_mask": COMPRESSED.npu(), "sparse_mode": 2}
    whole = torch_npu.npu_fusion_attention(q.npu(), k.npu(), v.npu(), 2, "BNSD", pse=bias.npu(), **options)[0]
    held = bias[:, :, -1024:].contiguous().npu()
    part = torch_npu.npu_fusion_attention(q.npu(), k.npu(), v.npu(), 2, "BNSD", pse=held, **options)[0]
    close(part, whole.cpu().double())


def test_sink_and_rope() -> None:
    import torch_npu

    both(
        lambda q, k, v, sink: attention(q, k, v, scale=0.4, sink=sink),
        lambda q, k, v, sink: torch_npu.npu_fusion_attention(q, k, v, 4, "BNSD", scale=0.4, sink=sink)[0],
        *inputs(columns=7),
        made(4),
    )
    parts = [made(5, n, d, dtype=torch.bfloat16) for n, d in ((2, 16), (2, 16), (2, 16), (2, 8), (2, 8))]
    q, k, v, q_rope, k_rope = (x.npu().requires_grad_() for x in parts)
    found = torch_npu.npu_fusion_attention_v2(
        q,
        k,
        v,
        2,
        "TND",
        query_rope=q_rope,
        key_rope=k_rope,
        atten_mask=COMPRESSED.npu(),
        sparse_mode=3,
        scale=0.2,
        actual_seq_qlen=[5],
        actual_seq_kvlen=[5],
    )[0]
    reference = [x.double().requires_grad_() for x in parts]
    a, b, c, d, e = (x.transpose(0, 1)[None] for x in reference)
    cells = left_out(3, 5, 5)
    expected = attention(torch.cat((a, d), -1), torch.cat((b, e), -1), c, cells, scale=0.2)[0].transpose(0, 1)
    close(found.detach(), expected.detach())
    grad = torch.randn(5, 2, 16).bfloat16()
    wanted = torch.autograd.grad(expected, reference, grad.double())
    for part, formula in zip(torch.autograd.grad(found, (q, k, v, q_rope, k_rope), grad.npu()), wanted, strict=True):
        close(part, formula)


def test_dropout_repeats_by_its_seed_and_by_its_mask() -> None:
    import torch_npu

    q, k, v = (x.npu() for x in inputs())
    torch.npu.manual_seed(5)
    first = torch_npu.npu_fusion_attention(q, k, v, 4, "BNSD", keep_prob=0.7)
    torch.npu.manual_seed(5)
    again = torch_npu.npu_fusion_attention(q, k, v, 4, "BNSD", keep_prob=0.7)
    other = torch_npu.npu_fusion_attention(q, k, v, 4, "BNSD", keep_prob=0.7)
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])
    *_, seed, offset, count = first
    assert count == 2 * 4 * 6 * 6
    by_seed = torch_npu.npu_fusion_attention(q, k, v, 4, "BNSD", keep_prob=0.7, seed=seed, offset=offset)
    assert torch.equal(first[0], by_seed[0])
    mask = torch_npu._npu_dropout_gen_mask(q, [2, 4, 6, 6], 0.3, seed, offset)
    options = {"keep_prob": 0.7, "seed": seed, "offset": offset}
    assert torch.equal(first[0], torch_npu.npu_fusion_attention(q, k, v, 4, "BNSD", dropout_mask=mask, **options)[0])
    bits = torch.tensor([[byte >> bit & 1 for bit in range(8)] for byte in mask.tolist()]).flatten()[:count]
    factor = bits.view(2, 4, 6, 6).double() / 0.7
    both(
        lambda q, k, v: attention(q, k, v, factor=factor),
        lambda q, k, v: torch_npu.npu_fusion_attention(q, k, v, 4, "BNSD", **options)[0],
        *(x.cpu() for x in (q, k, v)),
    )
    assert 0.6 < bits.double().mean() < 0.8


def test_third_version_takes_lengths_as_tensors() -> None:
    import torch_npu

    q, k, v = (made(5, 2, 8).npu().requires_grad_() for _ in range(3))
    lengths = torch.tensor([2, 5]).npu()
    found = torch_npu.npu_fusion_attention_v3(q, k, v, 2, "TND", actual_seq_qlen=lengths, actual_seq_kvlen=lengths)
    expected = torch_npu.npu_fusion_attention(q, k, v, 2, "TND", actual_seq_qlen=[2, 5], actual_seq_kvlen=[2, 5])
    assert torch.equal(found[0], expected[0])
    assert [x.dtype for x in found[4:]] == [torch.int64] * 2
    for a, b in zip(*(torch.autograd.grad(x[0].sum(), (q, k, v)) for x in (found, expected)), strict=True):
        assert torch.equal(a, b)


def test_gradients_of_a_part_by_the_statistics_of_the_whole() -> None:
    """As ring attention takes them: each part of the keys by itself, with what all of them gave."""
    import torch_npu

    q, k, v = (x.npu() for x in inputs(columns=8))
    grad = made(2, 4, 6, 8).npu()
    whole = torch_npu.npu_fusion_attention(q, k, v, 4, "BNSD", scale=0.4)
    options = {
        "softmax_max": whole[1],
        "softmax_sum": whole[2],
        "attention_in": whole[0],
        "scale_value": 0.4,
    }
    full = torch_npu.npu_fusion_attention_grad(q, k, v, grad, 4, "BNSD", **options)
    parts = [
        torch_npu.npu_fusion_attention_grad(q, k[:, :, s], v[:, :, s], grad, 4, "BNSD", **options)
        for s in (slice(0, 3), slice(3, 8))
    ]
    torch.testing.assert_close(parts[0][0] + parts[1][0], full[0])
    for index in (1, 2):
        torch.testing.assert_close(torch.cat([part[index] for part in parts], 2), full[index])


def test_shapes_without_values() -> None:
    import torch_npu
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode() as mode:
        q, k, v = (mode.from_tensor(x.npu()) for x in inputs(kv_heads=2, columns=7))
        result, top, *_ = torch_npu.npu_fusion_attention(q, k, v, 4, "BNSD", scale=0.3)
    assert (result.shape, top.shape, result.device.type) == ((2, 4, 6, 8), (2, 4, 6, 8), "npu")


REFUSED = {
    "query is float64": {"dtype": torch.float64},
    "head_num is 3, expected 4, as query has": {"head_num": 3},
    "input_layout is 'BDNS'": {"layout": "BDNS"},
    "keep_prob is 0.0, expected above 0, at most 1": {"keep_prob": 0},
    "sparse_mode is 7, expected 0 or 1": {"sparse_mode": 7},
    "padding_mask is given": {"padding_mask": torch.zeros(1)},
    r"atten_mask is \[5, 6\], expected": {"atten_mask": torch.zeros(5, 6).bool()},
    "atten_mask is float32, expected bool or uint8": {"atten_mask": torch.zeros(6, 6)},
    r"atten_mask of sparse_mode 3 is \[6, 6\], expected \[2048, 2048\]": {
        "sparse_mode": 3,
        "atten_mask": torch.zeros(6, 6).bool(),
    },
    "atten_mask of sparse_mode 2 is another matrix, expected 1 above the diagonal": {
        "sparse_mode": 2,
        "atten_mask": ~COMPRESSED,
    },
    "prefix is None, expected one number a sequence": {
        "sparse_mode": 5,
        "atten_mask": torch.zeros(2, 1, 6, 6).bool(),
    },
    "pse is float16, expected float32 as query": {"pse": torch.zeros(2, 4, 6, 6).half()},
    r"sink is \[3\], expected \[4\]": {"sink": torch.zeros(3)},
    "softmax_layout is 'TND', expected '' unless": {"softmax_layout": "TND"},
}


@pytest.mark.parametrize("message", REFUSED)
def test_limits(message: str) -> None:
    import torch_npu

    options = {name: x.npu() if isinstance(x, Tensor) else x for name, x in REFUSED[message].items()}
    heads, layout = options.pop("head_num", 4), options.pop("layout", "BNSD")
    q, k, v = (x.to(options.get("dtype", torch.float32)).npu() for x in inputs())
    options.pop("dtype", None)
    with pytest.raises(RuntimeError, match=message):
        torch_npu.npu_fusion_attention(q, k, v, heads, layout, **options)


def test_limits_of_heads_and_lengths() -> None:
    import torch_npu

    q, k, v = (x.npu() for x in inputs())
    with pytest.raises(RuntimeError, match="the heads of key is 3, expected a divisor of head_num, 4"):
        torch_npu.npu_fusion_attention(q, k[:, :3], v[:, :3], 4, "BNSD")
    with pytest.raises(RuntimeError, match="key is float16, expected float32 as query"):
        torch_npu.npu_fusion_attention(q, k.half(), v, 4, "BNSD")
    with pytest.raises(RuntimeError, match="the head size of value is 4, expected 8, as key has"):
        torch_npu.npu_fusion_attention(q, k, v[..., :4], 4, "BNSD")
    wide = torch.ones(1, 1, 1, 776).npu()
    with pytest.raises(RuntimeError, match="the head size is 776, expected at most 768"):
        torch_npu.npu_fusion_attention(wide, wide, wide, 1, "BNSD")
    packed = torch.ones(5, 2, 8).npu()
    with pytest.raises(RuntimeError, match="actual_seq_qlen is None, expected the sums of the lengths"):
        torch_npu.npu_fusion_attention(packed, packed, packed, 2, "TND")
    with pytest.raises(RuntimeError, match=r"actual_seq_qlen is \[3, 6\], expected rising to 5"):
        torch_npu.npu_fusion_attention(
            packed, packed, packed, 2, "TND", actual_seq_qlen=[3, 6], actual_seq_kvlen=[3, 5]
        )


def test_a_long_sequence_holds_no_square_of_it() -> None:
    import torch_npu

    q, k, v = (made(1, 2, 3000, 8).npu().requires_grad_() for _ in range(3))
    torch.npu.reset_peak_memory_stats()
    before = torch.npu.memory_allocated()
    result = torch_npu.npu_fusion_attention(q, k, v, 2, "BNSD", atten_mask=COMPRESSED.npu(), sparse_mode=3, scale=0.35)[
        0
    ]
    result.sum().backward()
    assert torch.npu.max_memory_allocated() - before < 150e6
    expected = torch.nn.functional.scaled_dot_product_attention(
        *(x.detach().cpu() for x in (q, k, v)), is_causal=True, scale=0.35
    )
    close(result.detach(), expected.double())
