"""Attention with its log-sum-exp: the true one, by every kernel that this machine has."""

import itertools

import pytest
import torch

from diffsynth.core.attention.log_sum_exp import _plain, attention_and_log_sum_exp
from diffsynth.core.parallel.sequence import Merged

CUDA = pytest.param(
    "cuda", marks=[pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")]
)
TOLERANCES = {torch.float32: 2e-6, torch.bfloat16: 1e-2, torch.float16: 2e-3}


def made(length, keys, device, dtype, head_dim=64):
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, length, 3, head_dim), (2, keys, 3, head_dim), (2, keys, 3, head_dim)]
    return [torch.randn(shape, generator=generator).to(device, dtype) for shape in shapes]


def by_hand(query, key, value):
    query, key, value = (tensor.double().cpu().transpose(1, 2) for tensor in (query, key, value))
    products = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    return (products.softmax(-1) @ value).transpose(1, 2), products.logsumexp(-1).transpose(1, 2)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize(("length", "keys"), [(33, 17), (1, 70), (40, 1), (1500, 7)])
@pytest.mark.parametrize("kernel", [attention_and_log_sum_exp, _plain], ids=["chosen", "plain"])
def test_the_log_sum_exp_is_the_true_one(dtype, device, length, keys, kernel):
    given = made(length, keys, device, dtype)
    for found, expected in zip(kernel(*given), by_hand(*given), strict=True):
        assert found.shape == expected.shape
        torch.testing.assert_close(found.double().cpu(), expected, rtol=0, atol=TOLERANCES[dtype])


def test_the_output_has_the_type_of_the_query_and_the_sum_is_float32():
    output, log_sum_exp = attention_and_log_sum_exp(*made(4, 5, "cpu", torch.bfloat16))
    assert output.dtype == torch.bfloat16
    assert log_sum_exp.dtype == torch.float32


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("cuts", [(0, 20), (0, 1, 20), (0, 5, 6, 13, 20)])
def test_parts_merge_to_the_whole(device, dtype, cuts):
    query, key, value = made(11, 20, device, dtype)
    merged = Merged(query.transpose(0, 1))
    for start, end in itertools.pairwise(cuts):
        merged.add(*attention_and_log_sum_exp(query, key[:, start:end], value[:, start:end]))
    found = merged.output().transpose(0, 1)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double().cpu(), by_hand(query, key, value)[0], rtol=0, atol=TOLERANCES[dtype])


def test_keys_far_apart_in_weight_merge_without_overflow():
    query, key, value = made(3, 8, "cpu", torch.float32)
    key[:, 4:] *= 100
    merged = Merged(query.transpose(0, 1))
    for part in (slice(0, 4), slice(4, 8)):
        merged.add(*attention_and_log_sum_exp(query, key[:, part], value[:, part]))
    largest = torch.einsum("blnd,bknd->bnlk", query, key).abs().max().item() / query.shape[-1] ** 0.5
    rounding = largest * torch.finfo(torch.float32).eps  # of a product, which its exponential is off by, relatively
    torch.testing.assert_close(
        merged.output().transpose(0, 1).double(), by_hand(query, key, value)[0], rtol=0, atol=rounding
    )
