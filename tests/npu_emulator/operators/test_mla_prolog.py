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
    heads = (normed @ given["weight_uq_qr"]).unflatten(-1, (HEADS, -1))
    query = torch.stack([heads[..., head, :SIZE] @ given["weight_uk"][head] for head in range(HEADS)], -2)
    keys = x @ given["weight_dkv_kr"]
    return (
        query,
        turned(heads[..., SIZE:], cos.unsqueeze(-2), sin.unsqueeze(-2)),
        rms(keys[..., :CKV], given["rmsnorm_gamma_ckv"]),
        turned(keys[..., CKV:], cos, sin),
        normed,
    )


def inputs(*places: int) -> tuple[Tensor, Tensor, Tensor]:
    angles = torch.rand(*places, TURNING // 2).repeat(*[1] * len(places), 2) * 6
    return torch.randn(*places, WIDTH).to(KIND), angles.sin().to(KIND), angles.cos().to(KIND)


def call(name: str, weights: dict[str, Tensor], given: tuple[Tensor, ...], **options: Any) -> tuple[Tensor, ...]:
    import torch_npu

    x, sin, cos = (tensor.npu() for tensor in given)
    there = {key: weight.npu() for key, weight in weights.items()}
    result: tuple[Tensor, ...] = getattr(torch_npu, name)(token_x=x, **there, rope_sin=sin, rope_cos=cos, **options)
    return result


@pytest.mark.parametrize("name", ["npu_mla_prolog", "npu_mla_prolog_v2", "npu_mla_prolog_v3"])
@pytest.mark.parametrize("mode", ["PA_BSND", "PA_NZ"])
def test_into_pages(weights: dict[str, Tensor], name: str, mode: str) -> None:
    given, slots = inputs(2, 3), torch.tensor([[5, 33, 0], [17, 2, 47]])
    caches = [torch.zeros(3, BLOCK, 1, width, dtype=KIND).npu() for width in (CKV, TURNING)]
    found = call(name, weights, given, kv_cache=caches[0], kr_cache=caches[1], cache_index=slots.npu(), cache_mode=mode)
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


def test_limits(weights: dict[str, Tensor]) -> None:
    given = inputs(2)
    caches = {"kv_cache": torch.zeros(2, 1, CKV).to(KIND).npu(), "kr_cache": torch.zeros(2, 1, TURNING).to(KIND).npu()}
    with pytest.raises(RuntimeError, match="cache_index is None, expected slots"):
        call("npu_mla_prolog_v3", weights, given, **caches)
    with pytest.raises(RuntimeError, match="cache_mode is 'BNSD', expected 'PA_BSND' or"):
        call("npu_mla_prolog_v3", weights, given, **caches, cache_mode="BNSD")
    with pytest.raises(NotImplementedError, match="npu_mla_prolog_v3 with weight_quant_mode works on Ascend hardware"):
        call("npu_mla_prolog_v3", weights, given, **caches, cache_mode="TND", weight_quant_mode=1)
    with pytest.raises(RuntimeError, match="token_x is float32, expected bfloat16"):
        call("npu_mla_prolog_v3", weights, (given[0].float(), *given[1:]), **caches, cache_mode="TND")
