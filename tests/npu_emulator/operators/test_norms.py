"""Norms against their formulas and differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.npu_emulator.operators.holding import TYPES, check_gradient, close, made


def rms(x: Tensor, gamma: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    dims = tuple(range(x.dim() - gamma.dim(), x.dim()))
    root = (x.double().pow(2).sum(dims, keepdim=True) / gamma.numel() + epsilon).sqrt()
    return x.double() / root * gamma.double(), 1 / root


def standardized(x: Tensor, dims: tuple[int, ...], epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    mean = x.mean(dims, keepdim=True)
    rstd = 1 / ((x - mean).pow(2).mean(dims, keepdim=True) + epsilon).sqrt()
    return (x - mean) * rstd, mean, rstd


@pytest.mark.parametrize("normalized", [1, 2])
def test_rms_norm(normalized: int) -> None:
    import torch_npu

    for dtype in TYPES:
        for gamma_type in {dtype, torch.float32}:
            x, gamma = made(3, 4, 8, dtype=dtype), made(*(4, 8)[2 - normalized :], dtype=gamma_type)
            expected, rstd = rms(x, gamma, 1e-5)
            found = torch_npu.npu_rms_norm(x.npu(), gamma.npu(), epsilon=1e-5)
            assert found[0].dtype == dtype
            close(found[0], expected)
            assert found[1].dtype == torch.float32
            close(found[1], rstd)
    check_gradient(lambda x, g: torch_npu.npu_rms_norm(x, g)[0], made(3, 4, 5), made(*(4, 5)[2 - normalized :]))
    x, gamma = made(3, 4, 8), made(*(4, 8)[2 - normalized :])
    close(torch_npu.npu_gemma_rms_norm(x.npu(), gamma.npu())[0], rms(x, 1 + gamma, 1e-6)[0])


def test_add_rms_norm() -> None:
    import torch_npu

    for dtype in TYPES:
        x1, x2, gamma = (made(*size, dtype=dtype) for size in ((2, 3, 8), (2, 3, 8), (8,)))
        total = x1.double() + x2.double()
        expected, rstd = rms(total, gamma, 1e-6)
        found = torch_npu.npu_add_rms_norm(x1.npu(), x2.npu(), gamma.npu())
        for part, formula in zip(found, (expected, rstd, total), strict=True):
            close(part, formula)
        wide, rounded, *_ = torch_npu.npu_add_rms_norm_cast(x1.npu(), x2.npu(), gamma.npu())
        assert (wide.dtype, rounded.dtype) == (torch.float32, dtype)
        assert torch.equal(wide, rounded.float())
        first, second = x1.npu(), x2.npu()
        close(torch_npu.npu_add_rms_norm_v2(first, second, gamma.npu()), rstd)
        close(first, expected)
        close(second, total)


def test_layer_norms() -> None:
    import torch_npu

    x1, x2, gamma, beta = made(3, 4, 8), made(3, 4, 8), made(8), made(8)
    normal, _, _ = standardized(x1.double(), (2,), 1e-5)
    expected = normal * gamma.double() + beta.double()
    close(torch_npu.npu_layer_norm_eval(x1.npu(), [8], gamma.npu(), beta.npu()), expected)
    total = x1.double() + x2.double()
    normal, mean, rstd = standardized(total, (2,), 1e-5)
    found = torch_npu.npu_add_layer_norm(x1.npu(), x2.npu(), gamma.npu(), beta.npu(), 1e-5, True)
    for part, formula in zip(found, (normal * gamma + beta, mean, rstd, total), strict=True):
        close(part, formula)
    check_gradient(
        lambda *a: torch_npu.npu_add_layer_norm(*a, 1e-5, True)[::3], made(3, 5), made(3, 5), made(5), made(5)
    )
    normal, mean, rstd = standardized(0.3 * x1.double() + x2.double(), (2,), 1e-6)
    found = torch_npu.npu_deep_norm(x1.npu(), x2.npu(), beta.npu(), gamma.npu())
    for part, formula in zip(found, (mean, rstd, normal * gamma + beta), strict=True):
        close(part, formula)
    check_gradient(lambda *a: torch_npu.npu_deep_norm(*a)[2], made(3, 5), made(3, 5), made(5), made(5))


def test_layer_norm_gradient_is_torchs() -> None:
    import torch_npu

    x, weight, bias, grad = made(3, 8), made(8), made(8), made(3, 8)
    _, mean, rstd = torch.native_layer_norm(x, [8], weight, bias, 1e-5)
    expected = torch.ops.aten.native_layer_norm_backward(grad, x, [8], mean, rstd, weight, bias, [True] * 3)
    found = torch_npu.npu_layernorm_grad(grad.npu(), x.npu(), [8], mean.npu(), rstd.npu(), weight.npu(), bias.npu())
    for part, formula in zip(found, expected, strict=True):
        close(part, formula.double())


@pytest.mark.parametrize("affine", [True, False])
def test_group_norm_silu(affine: bool) -> None:
    import torch_npu

    for dtype in TYPES:
        x = made(2, 6, 3, 5, dtype=dtype)
        weight, bias = (made(6, dtype=dtype), made(6, dtype=dtype)) if affine else (None, None)
        normal, mean, rstd = standardized(x.double().view(2, 3, -1), (2,), 1e-5)
        y = normal.view(x.shape)
        if affine:
            y = y * weight.double().view(-1, 1, 1) + bias.double().view(-1, 1, 1)
        found = torch_npu.npu_group_norm_silu(
            x.npu(), None if weight is None else weight.npu(), None if bias is None else bias.npu(), 3
        )
        close(found[0], y / (1 + torch.exp(-y)))
        close(found[1], mean.view(2, 3))
        close(found[2], rstd.view(2, 3))


def test_group_norm_swish() -> None:
    import torch_npu

    x, weight, bias = made(2, 6, 3), made(6), made(6)
    y = standardized(x.double().view(2, 3, -1), (2,), 1e-5)[0].view(x.shape)
    y = y * weight.double()[:, None] + bias.double()[:, None]
    close(
        torch_npu.npu_group_norm_swish(x.npu(), 3, weight.npu(), bias.npu(), swish_scale=1.5)[0],
        y / (1 + torch.exp(-1.5 * y)),
    )
    check_gradient(
        lambda x, w, b: torch_npu.npu_group_norm_swish(x, 2, w, b, 1e-5, 1.5)[0], made(2, 4, 3), made(4), made(4)
    )


def test_limits() -> None:
    import torch_npu

    x = torch.ones(2, 4).npu()
    with pytest.raises(RuntimeError, match=r"npu_rms_norm: gamma is \[3\], expected the last dimensions of \[2, 4\]"):
        torch_npu.npu_rms_norm(x, torch.ones(3).npu())
    with pytest.raises(RuntimeError, match=r"npu_rms_norm: gamma is float16, expected float32 as self"):
        torch_npu.npu_rms_norm(x, torch.ones(4).half().npu())
    with pytest.raises(RuntimeError, match=r"npu_add_rms_norm: x2 is float16, expected float32 as x1"):
        torch_npu.npu_add_rms_norm(x, x.half(), torch.ones(4).npu())
    with pytest.raises(RuntimeError, match=r"the number of groups is 3, expected a divisor of the 4 channels"):
        torch_npu.npu_group_norm_silu(x, None, None, 3)
    with pytest.raises(RuntimeError, match=r"eps is 0.0, expected a positive number"):
        torch_npu.npu_group_norm_silu(x, None, None, 2, 0.0)
