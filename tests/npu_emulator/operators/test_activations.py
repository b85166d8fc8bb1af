"""Activations, gated and plain, against their formulas and differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.npu_emulator.operators.holding import TYPES, check_gradient, close, made


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def gelu(x: Tensor, approximate: str) -> Tensor:
    if approximate == "none":
        return x * torch.distributions.Normal(0, 1).cdf(x)
    return x * sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x.pow(3)))


FORMULAS = {
    "npu_fast_gelu": lambda x: x / (1 + torch.exp(-1.702 * x.abs())) * torch.exp(0.851 * (x - x.abs())),
    "npu_gelu": lambda x: gelu(x, "none"),
    "npu_silu": lambda x: x / (1 + torch.exp(-x)),
    "npu_mish": lambda x: x * torch.tanh(torch.log1p(torch.exp(x))),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_plain_activation(name: str) -> None:
    import torch_npu

    operator = getattr(torch_npu, name)
    for dtype in TYPES:
        x = made(5, 33, dtype=dtype, spread=3)
        close(operator(x.npu()), FORMULAS[name](x.double()))
    check_gradient(operator, made(3, 4))


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu(approximate: str) -> None:
    import torch_npu

    x = made(4, 6, 8, spread=3)
    close(torch_npu.npu_gelu(x.npu(), approximate=approximate), gelu(x.double(), approximate))
    check_gradient(lambda x: torch_npu.npu_gelu(x, approximate=approximate), made(3, 4))
    first, second = x.double().chunk(2, -1)
    close(torch_npu.npu_gelu_mul(x.npu(), approximate=approximate), gelu(first, approximate) * second)
    with pytest.raises(RuntimeError, match=r"npu_gelu: approximate is 'fast', expected 'none' or 'tanh'"):
        torch_npu.npu_gelu(x.npu(), approximate="fast")


@pytest.mark.parametrize("dim", [-1, 0, 1])
def test_swiglu(dim: int) -> None:
    import torch_npu

    for dtype in TYPES:
        x = made(4, 6, 8, dtype=dtype)
        first, second = x.double().chunk(2, dim)
        close(torch_npu.npu_swiglu(x.npu(), dim), first * sigmoid(first) * second)
    check_gradient(lambda x: torch_npu.npu_swiglu(x, dim), made(2, 4, 6))


@pytest.mark.parametrize("activate_left", [False, True])
@pytest.mark.parametrize("approximate", [0, 1])
def test_geglu(approximate: int, activate_left: bool) -> None:
    import torch_npu

    for dim, dtype in zip((-1, 1, 0), TYPES, strict=True):
        x = made(4, 6, 8, dtype=dtype)
        value, gate = x.double().chunk(2, dim)
        if activate_left:
            value, gate = gate, value
        activated = gelu(gate, ("none", "tanh")[approximate])
        result, kept = torch_npu.npu_geglu(x.npu(), dim, approximate, activate_left)
        close(result, value * activated)
        close(kept, activated)
    check_gradient(lambda x: torch_npu.npu_geglu(x, -1, approximate, activate_left)[0], made(3, 8))


@pytest.mark.parametrize("interleaved", [False, True])
def test_clipped_swiglu(interleaved: bool) -> None:
    import torch_npu

    x = made(6, 8, spread=8)
    gate, value = (x[:, ::2], x[:, 1::2]) if interleaved else (x[:, :4], x[:, 4:])
    gate, value = gate.double().clamp(max=5), value.double().clamp(-5, 5)
    expected = gate * sigmoid(1.3 * gate) * (value + 0.5)
    options = {"alpha": 1.3, "limit": 5.0, "bias": 0.5, "interleaved": interleaved}
    close(torch_npu.npu_clipped_swiglu(x.npu(), **options), expected)
    groups = torch.tensor([1, 2]).npu()
    expected[3:] = 0
    close(torch_npu.npu_clipped_swiglu(x.npu(), group_index=groups, **options), expected)


def test_limits() -> None:
    import torch_npu

    with pytest.raises(RuntimeError, match=r"npu_swiglu: self is float64, expected float16 or bfloat16 or float32"):
        torch_npu.npu_swiglu(torch.ones(4, dtype=torch.float64).npu())
    with pytest.raises(RuntimeError, match=r"npu_swiglu: dimension -1 is 3, expected an even size"):
        torch_npu.npu_swiglu(torch.ones(2, 3).npu())
    with pytest.raises(RuntimeError, match=r"npu_swiglu: dim is 2, expected a dimension"):
        torch_npu.npu_swiglu(torch.ones(2, 4).npu(), 2)
    with pytest.raises(RuntimeError, match=r"npu_geglu: approximate is 2, expected 0 or 1"):
        torch_npu.npu_geglu(torch.ones(2, 4).npu(), -1, 2)


def test_in_place() -> None:
    import torch_npu

    x = made(3, 4)
    on_device = x.npu()
    assert torch_npu.npu_silu_(on_device) is on_device
    close(on_device, FORMULAS["npu_silu"](x.double()))
