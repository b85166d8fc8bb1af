"""What comes before multi-head latent attention, against its formulas in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.npu_emulator.operators.holding import close

KIND = torch.bfloat16
WIDTH, HEADS, BLOCK = 1024, 2, 16
CQ, CKV, SIZE, TURNING = 1536, 512, 128, 64
TILE = 128


def made(*size: int) -> Tensor:
    return (torch.randn(*size) * size[0] ** -0.5).to(KIND)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {
        "weight_dq": made(WIDTH, CQ),
        "weight_uq_qr": made(CQ, HEADS * (SIZE + TURNING)),
        "weight_uk": made(HEADS, SIZE, CKV),
        "weight_dkv_kr": made(WIDTH, CKV + TURNING),
        "rmsnorm_gamma_cq": torch.randn(CQ).to(KIND),
        "rmsnorm_gamma_ckv": torch.randn(CKV).to(KIND),
    }


def rms(x: Tensor, gamma: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * gamma


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Neighbours are pairs; the first of all pairs come first in the result, as the tables have them."""
    even, odd = x[..., ::2], x[..., 1::2]
    first, second = cos.chunk(2, -1), sin.chunk(2, -1)
    return torch.cat([even * first[0] - odd * second[0], odd * first[1] + even * second[1]], -1)


def by_formula(weights: dict[str, Tensor], x: Tensor, sin: Tensor, cos: Tensor) -> tuple[Tensor, ...]:
    given = {name: weight.double() for name, weight in weights.items()}
    x, sin, cos = x.double(), sin.double(), cos.double()
    normed = rms(x @ given["weight_dq"], given["rmsnorm_gamma_cq"])
    return (*after_norm(given, normed, x, sin, cos), normed)


def after_norm(given: dict[str, Tensor], normed: Tensor, x: Tensor, sin: Tensor, cos: Tensor) -> tuple[Tensor, ...]:
    heads = (normed @ given["weight_uq_qr"]).unflatten(-1, (HEADS, -1))
    query = torch.stack([heads[..., head, :SIZE] @ given["weight_uk"][head] for head in range(HEADS)], -2)
    keys = x @ given["weight_dkv_kr"]
    return (
        query,
        turned(heads[..., SIZE:], cos.unsqueeze(-2), sin.unsqueeze(-2)),
        rms(keys[..., :CKV], given["rmsnorm_gamma_ckv"]),
        turned(keys[..., CKV:], cos, sin),
    )


def inputs(*places: int) -> tuple[Tensor, Tensor, Tensor]:
    angles = torch.rand(*places, TURNING // 2).repeat(*[1] * len(places), 2) * 6
    return torch.randn(*places, WIDTH).to(KIND), angles.sin().to(KIND), angles.cos().to(KIND)


def call(name: str, weights: dict[str, Tensor], given: tuple[Tensor, ...], **options: Any) -> tuple[Tensor, ...]:
    import torch_npu

    x, sin, cos = (tensor.npu() for tensor in given)
    there = {key: weight.npu() for key, weight in weights.items()}
    options = {key: value.npu() if isinstance(value, Tensor) else value for key, value in options.items()}
    result: tuple[Tensor, ...] = getattr(torch_npu, name)(token_x=x, **there, rope_sin=sin, rope_cos=cos, **options)
    return result


@pytest.mark.parametrize("name", ["npu_mla_prolog", "npu_mla_prolog_v2", "npu_mla_prolog_v3"])
@pytest.mark.parametrize("mode", ["PA_BSND", "PA_NZ"])
def test_into_pages(weights: dict[str, Tensor], name: str, mode: str) -> None:
    given, slots = inputs(2, 3), torch.tensor([[5, 33, 0], [17, 2, 47]])
    caches = [torch.zeros(3, BLOCK, 1, width, dtype=KIND).npu() for width in (CKV, TURNING)]
    found = call(name, weights, given, kv_cache=caches[0], kr_cache=caches[1], cache_index=slots, cache_mode=mode)
    query, turned_query, keys, turned_keys, _ = by_formula(weights, *given)
    close(found[0], query)
    close(found[1], turned_query)
    for cache, expected in zip(caches, (keys, turned_keys), strict=True):
        pages = cache.view(3, -1, BLOCK, 16).transpose(1, 2) if mode == "PA_NZ" else cache
        pages = pages.reshape(3 * BLOCK, -1)
        close(pages[slots.flatten().npu()], expected.flatten(0, 1))
        assert int(pages.any(-1).sum()) == slots.numel()
    assert len(found) == {"npu_mla_prolog": 4}.get(name, 5)
    if name != "npu_mla_prolog_v3":
        assert torch.equal(found[2], caches[0])
        assert torch.equal(found[3], caches[1])


@pytest.mark.parametrize("mode", ["PA_BLK_BSND", "PA_BLK_NZ"])
@pytest.mark.parametrize("in_a_row", [True, False])
def test_into_whole_blocks(weights: dict[str, Tensor], mode: str, in_a_row: bool) -> None:
    """A sequence begins a block of its own; the sequences' ends are sums of their lengths."""
    lengths, blocks = ([20, 3], [[4, 1], [0]]) if in_a_row else ([18, 18], [[4, 1], [0, 3]])
    given = inputs(sum(lengths)) if in_a_row else inputs(2, 18)
    index = torch.tensor([block for own in blocks for block in own] if in_a_row else blocks)
    options = {"actual_seq_len": torch.tensor(lengths).cumsum(0).int()} if in_a_row else {}
    caches = [torch.zeros(5, BLOCK, 1, width, dtype=KIND).npu() for width in (CKV, TURNING)]
    there = {"kv_cache": caches[0], "kr_cache": caches[1], "cache_index": index, "cache_mode": mode}
    call("npu_mla_prolog_v3", weights, given, **there, **options)
    _, _, *expected, _ = by_formula(weights, *given)
    slots = [
        own[place // BLOCK] * BLOCK + place % BLOCK
        for own, n in zip(blocks, lengths, strict=True)
        for place in range(n)
    ]
    for cache, tokens in zip(caches, expected, strict=True):
        pages = cache.view(5, -1, BLOCK, 16).transpose(1, 2) if mode == "PA_BLK_NZ" else cache
        pages = pages.reshape(5 * BLOCK, -1)
        close(pages[torch.tensor(slots).npu()], tokens.reshape(len(slots), -1))
        assert int(pages.any(-1).sum()) == len(slots)


def test_tokens_in_a_row_and_scales(weights: dict[str, Tensor]) -> None:
    given = inputs(4)
    caches = [torch.zeros(4, 1, width, dtype=KIND).npu() for width in (CKV, TURNING)]
    options = {"cache_mode": "TND", "query_norm_flag": True, "qc_qr_scale": 0.5, "kc_scale": 2.0}
    found = call("npu_mla_prolog_v3", weights, given, kv_cache=caches[0], kr_cache=caches[1], **options)
    query, turned_query, keys, turned_keys, normed = by_formula(weights, *given)
    for result, expected in zip(found, (query / 2, turned_query / 2, None, normed / 2, None), strict=True):
        if expected is None:
            assert (result.shape, result.dtype) == ((0,), torch.float32)
        else:
            close(result, expected)
    close(caches[0].squeeze(1), 2 * keys)
    close(caches[1].squeeze(1), turned_keys)


def test_the_functional_one_leaves_the_caches(weights: dict[str, Tensor]) -> None:
    given = inputs(2, 2)
    caches = [torch.ones(2, 2, 1, width, dtype=KIND).npu() for width in (CKV, TURNING)]
    there = {"kv_cache": caches[0], "kr_cache": caches[1], "cache_mode": "BSND"}
    found = call("npu_mla_prolog_v3_functional", weights, given, **there)
    assert all(bool((cache == 1).all()) for cache in caches)
    written = call("npu_mla_prolog_v3", weights, given, **there)
    for one, other in zip(found, (*written, *caches), strict=True):
        assert torch.equal(one, other)


def in_int8(x: Tensor, along: int) -> tuple[Tensor, Tensor]:
    """Whole numbers, and in float32 what each is to be multiplied with."""
    scale = (x.float().abs().amax(along, keepdim=True) / 127).clamp(min=1e-8)
    return (x.float() / scale).round().to(torch.int8), scale


def nearly(found: Tensor, expected: Tensor) -> None:
    """int8 against what it is rounded from: a half may go to either side, with float32's own errors."""
    apart = (found.cpu().double() - expected.clamp(-128, 127)).abs()
    assert found.dtype == torch.int8
    assert apart.max() <= 0.51
    assert found.cpu().double().abs().max() > 60


def quantized_call(weights: dict[str, Tensor], given: tuple[Tensor, ...], what: int) -> tuple[dict[str, Any], ...]:
    """Weights and scales as weight_quant_mode ``what`` has them, and the same in float64, undone."""
    scales: dict[str, Tensor] = {"smooth_scales_cq": 0.5 + torch.rand(1, CQ)}
    stored, exact = dict(weights), {name: weight.double() for name, weight in weights.items()}
    names = {1: ["weight_uq_qr"], 2: ["weight_dq", "weight_uq_qr", "weight_dkv_kr"]}[what]
    for name in names:
        stored[name], scale = in_int8(weights[name], 0)
        scales[f"dequant_scale_{name.replace('weight', 'w')}"] = scale
        exact[name] = stored[name].double() * scale.double()
    x = given[0]
    if what == 2:
        x, scale = in_int8(x, -1)
        scales["dequant_scale_x"] = scale.reshape(-1, 1)
        exact["x"] = x.double() * scale.double()
    else:
        exact["x"] = x.double()
    return stored | {"token_x": x}, scales, exact


V1, V2, V3 = "npu_mla_prolog", "npu_mla_prolog_v2", "npu_mla_prolog_v3"
# Which of weights, caches and queries are quantized, and how.
IN_INT8 = [(V1, 1, 0, 0), (V1, 1, 2, 0), (V2, 1, 2, 0), (V2, 2, 0, 0), (V2, 2, 1, 1)]
IN_INT8 += [(V3, *modes) for modes in ((1, 0, 0), (1, 2, 0), (1, 3, 0), (2, 0, 0), (2, 1, 1), (2, 3, 0))]


@pytest.mark.parametrize(("name", "weight_mode", "cache_mode", "query_mode"), IN_INT8)
def test_in_int8(weights: dict[str, Tensor], name: str, weight_mode: int, cache_mode: int, query_mode: int) -> None:
    given, places = inputs(2, 3), torch.tensor([[5, 33, 0], [17, 2, 47]])
    stored, scales, exact = quantized_call(weights, given, weight_mode)
    of_cache: dict[int, dict[str, Tensor]] = {
        1: {"quant_scale_ckv": torch.tensor([40.0])},
        2: {"quant_scale_ckv": 20 + 20 * torch.rand(1, CKV), "quant_scale_ckr": 30 + torch.rand(1, TURNING)},
        3: {"k_nope_clip_alpha": torch.tensor([0.9])},
    }
    scales |= of_cache.get(cache_mode, {})
    width = CKV + 2 * TURNING + 4 * (CKV // TILE) if cache_mode == 3 else CKV
    kv_cache = torch.zeros(3, BLOCK, 1, width, dtype=torch.int8 if cache_mode else KIND).npu()
    kr_cache = torch.zeros(3, BLOCK, 1, TURNING, dtype=torch.int8 if cache_mode == 2 else KIND).npu()
    if cache_mode == 3:
        kr_cache = torch.zeros(0, dtype=KIND).npu()
    options: dict[str, Any] = {"kv_cache": kv_cache, "kr_cache": kr_cache, "cache_index": places}
    if name == "npu_mla_prolog_v3":
        options |= {"weight_quant_mode": weight_mode, "kv_cache_quant_mode": cache_mode, "query_quant_mode": query_mode}
        options |= {"query_norm_flag": True} | dict.fromkeys(
            ("ckvkr_repo_mode", "quant_scale_repo_mode"), int(cache_mode == 3)
        )
    x = stored.pop("token_x")
    found = call(name, stored, (x, *given[1:]), **options, **scales)

    sin, cos = given[1].double(), given[2].double()
    smooth = scales["smooth_scales_cq"].double()
    normed = rms(exact["x"] @ exact["weight_dq"], exact["rmsnorm_gamma_cq"]) * smooth
    scale_of_normed = normed.abs().amax(-1, keepdim=True) / 127
    # From here on what is multiplied is the rounded one, as the operator returns it.
    whole = (normed / scale_of_normed).round()
    query, turned_query, keys, turned_keys = after_norm(exact, whole * scale_of_normed, exact["x"], sin, cos)
    scale_of_query = query.abs().amax(-1, keepdim=True) / 127
    if query_mode:
        turned_query = turned_query * 40.0 / scale_of_query
        apart = found[0].cpu().double() * scale_of_query - query
        assert found[0].dtype == torch.int8
        assert apart.abs().max() < 0.02 * query.abs().max()
        returned = found[2] if name == "npu_mla_prolog_v3" else found[4]
        torch.testing.assert_close(returned.cpu().double(), scale_of_query.reshape(6, HEADS, 1), rtol=1e-2, atol=0)
    else:
        close(found[0], query)
    close(found[1], turned_query)
    if name == "npu_mla_prolog_v3":
        nearly(found[3], normed / scale_of_normed)
        torch.testing.assert_close(found[4].cpu().double(), scale_of_normed.reshape(6, 1), rtol=1e-5, atol=0)
    kept = kv_cache.cpu().view(3 * BLOCK, -1)[places.flatten()]
    keys, turned_keys = keys.reshape(6, -1), turned_keys.reshape(6, -1)
    if cache_mode == 0:
        close(kept.npu(), keys)
    elif cache_mode == 3:
        tiles = keys.view(6, -1, TILE)
        largest = 0.9 * tiles.abs().amax(-1, keepdim=True)
        nearly(kept[:, :CKV].view(6, -1, TILE), tiles.clamp(-largest, largest) / largest * 127)
        close(kept[:, CKV : CKV + 2 * TURNING].contiguous().view(KIND).npu(), turned_keys)
        stored_scales = kept[:, CKV + 2 * TURNING :].contiguous().view(torch.float32)
        torch.testing.assert_close(stored_scales.double(), largest.squeeze(-1) / 127, rtol=1e-5, atol=0)
        return
    else:
        nearly(kept, keys * scales["quant_scale_ckv"].double())
    turned_kept = kr_cache.cpu().view(3 * BLOCK, -1)[places.flatten()]
    if cache_mode == 2:
        nearly(turned_kept, turned_keys * scales["quant_scale_ckr"].double())
    else:
        close(turned_kept.npu(), turned_keys)


def test_limits(weights: dict[str, Tensor]) -> None:
    given = inputs(2)
    caches = {"kv_cache": torch.zeros(2, 1, CKV).to(KIND).npu(), "kr_cache": torch.zeros(2, 1, TURNING).to(KIND).npu()}

    def v3(given: tuple[Tensor, ...] = given, **options: Any) -> None:
        call("npu_mla_prolog_v3", weights, given, **caches | {"cache_mode": "TND"} | options)

    with pytest.raises(RuntimeError, match="cache_index is None, expected slots"):
        v3(cache_mode="PA_BSND")
    with pytest.raises(RuntimeError, match="cache_mode is 'BNSD', expected 'PA_BSND' or"):
        v3(cache_mode="BNSD")
    with pytest.raises(RuntimeError, match="weight_uq_qr is bfloat16, expected int8"):
        v3(weight_quant_mode=1)
    with pytest.raises(RuntimeError, match=r"query_quant_mode is \(0, 1, 0\), expected \(0, 0, 0\) or"):
        v3(kv_cache_quant_mode=1)
    with pytest.raises(RuntimeError, match=r"query_quant_mode is \(4, 0, 0\), expected \(0, 0, 0\) or"):
        v3(weight_quant_mode=4)
    with pytest.raises(NotImplementedError, match="npu_mla_prolog_v3 with token_x_dtype=290 works on Ascend 950"):
        v3(token_x_dtype=290)
    with pytest.raises(RuntimeError, match="smooth_scales_cq is given, expected None without that quantization"):
        v3(smooth_scales_cq=torch.ones(1, CQ))
    with pytest.raises(RuntimeError, match="ckvkr_repo_mode and quant_scale_repo_mode is"):
        v3(ckvkr_repo_mode=1)
    with pytest.raises(RuntimeError, match="token_x is float32, expected bfloat16"):
        v3((given[0].float(), *given[1:]))
    with pytest.raises(RuntimeError, match="token_x with BSND is 2-dimensional, expected 3 dimensions"):
        v3(cache_mode="BSND")
    with pytest.raises(RuntimeError, match=r"kv_cache is \[3, 1, 512\], expected \[2, 1, 512\]"):
        v3(kv_cache=torch.zeros(3, 1, CKV).to(KIND))
    with pytest.raises(RuntimeError, match=r"rope_sin and rope_cos is .* expected \[2, 64\] both"):
        v3((given[0], given[1][:1], given[2]))
    pages = [torch.zeros(2, BLOCK, 1, width).to(KIND).npu() for width in (CKV, TURNING)]
    paged = {
        "kv_cache": pages[0],
        "kr_cache": pages[1],
        "cache_index": torch.zeros(1).long(),
        "cache_mode": "PA_BLK_NZ",
    }
    with pytest.raises(RuntimeError, match="actual_seq_len is None, expected given"):
        v3(**paged)
    with pytest.raises(RuntimeError, match=r"cache_index is \[1\], expected \[2\], the sequences' blocks"):
        v3(**paged, actual_seq_len=torch.tensor([1, 2], dtype=torch.int32))
    with pytest.raises(RuntimeError, match=r"cache_index is \[1\], expected \[2\]"):
        v3(**paged | {"cache_mode": "PA_NZ"})
    with pytest.raises(RuntimeError, match="the last of actual_seq_len is 3, expected 2, the tokens"):
        v3(**paged, actual_seq_len=torch.tensor([3], dtype=torch.int32))
