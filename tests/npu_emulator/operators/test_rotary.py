"""Rotary embeddings against the turning of complex numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.npu_emulator.operators.holding import TYPES, check_gradient, close, made


def by_pairs(x: Tensor, cos: Tensor, sin: Tensor, mode: str) -> Tensor:
    """Each pair of features as one complex number."""
    x = x.double()
    if mode == "half":
        real, imaginary = x.chunk(2, -1)
    else:
        real, imaginary = x[..., ::2], x[..., 1::2]
    first, second = (
        (slice(None, x.shape[-1] // 2), slice(x.shape[-1] // 2, None))
        if mode == "half"
        else (
            slice(None, None, 2),
            slice(1, None, 2),
        )
    )
    out = torch.empty_like(x)
    out[..., first] = real * cos.double()[..., first] - imaginary * sin.double()[..., first]
    out[..., second] = imaginary * cos.double()[..., second] + real * sin.double()[..., second]
    return out


@pytest.mark.parametrize("mode", ["half", "interleave"])
def test_rotary_mul(mode: str) -> None:
    import torch_npu

    shapes = [
        ((2, 3, 5, 8), (1, 1, 5, 8)),
        ((2, 5, 3, 8), (2, 5, 1, 8)),
        ((5, 2, 3, 8), (5, 2, 3, 8)),
        ((5, 3, 8), (5, 1, 8)),
    ]
    for dtype in TYPES:
        for size, table in shapes:
            x, cos, sin = made(*size, dtype=dtype), made(*table, dtype=dtype), made(*table, dtype=dtype)
            close(torch_npu.npu_rotary_mul(x.npu(), cos.npu(), sin.npu(), mode), by_pairs(x, cos, sin, mode))
    for size, table in (((2, 2, 1, 4), (2, 1, 1, 4)), ((2, 2, 4), (2, 1, 4))):
        check_gradient(lambda *a: torch_npu.npu_rotary_mul(*a, mode), made(*size), made(*table), made(*table))


@pytest.mark.parametrize("mode", ["quarter", "interleave-half"])
def test_rotary_mul_of_the_newest_line(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch_npu

    x, cos, sin = made(2, 3, 5, 8), made(1, 1, 5, 8), made(1, 1, 5, 8)
    with pytest.raises(RuntimeError, match="rotary_mode"):
        torch_npu.npu_rotary_mul(x.npu(), cos.npu(), sin.npu(), mode)
    monkeypatch.setattr("npu_emulator.operators.rotary.newest_line", lambda: True)
    found = torch_npu.npu_rotary_mul(x.npu(), cos.npu(), sin.npu(), mode)
    if mode == "quarter":
        halves = [by_pairs(*(t[..., at : at + 4] for t in (x, cos, sin)), "half") for at in (0, 4)]
        close(found, torch.cat(halves, -1))
    else:
        close(found, by_pairs(x[..., [0, 2, 4, 6, 1, 3, 5, 7]], cos, sin, "half"))
    x, cos, sin = made(2, 2, 1, 4), made(2, 1, 1, 4), made(2, 1, 1, 4)
    check_gradient(lambda *a: torch_npu.npu_rotary_mul(*a, mode), x, cos, sin)


def test_rotary_mul_by_a_matrix() -> None:
    import torch_npu

    x, cos, sin = made(2, 3, 5, 8), made(1, 1, 5, 8), made(1, 1, 5, 8)
    half = torch.zeros(8, 8)
    half[:4, 4:], half[4:, :4] = torch.eye(4), -torch.eye(4)
    found = torch_npu.npu_rotary_mul(x.npu(), cos.npu(), sin.npu(), "half", half.npu())
    close(found, by_pairs(x, cos, sin, "half"))
    x = x.npu().requires_grad_()
    with pytest.raises(RuntimeError, match="no gradient where rotate is given"):
        torch_npu.npu_rotary_mul(x, cos.npu(), sin.npu(), "half", half.npu()).sum().backward()


def test_gradient_alone_is_that_of_autograd() -> None:
    import torch_npu

    x, cos, sin, grad = (made(2, 3, 4, 8).npu() for _ in range(4))
    x.requires_grad_()
    expected = torch.autograd.grad(torch_npu.npu_rotary_mul(x, cos, sin), x, grad)[0]
    assert torch.equal(torch_npu.npu_rotary_mul_backward(grad, x.detach(), cos, sin)[0], expected)


def test_interleave_rope() -> None:
    import torch_npu

    x, cos, sin = (made(2, n, 5, 64, dtype=torch.float16) for n in (3, 1, 1))
    gathered = x.view(2, 3, 5, 32, 2).transpose(-1, -2).reshape(x.shape)
    close(torch_npu.npu_interleave_rope(x.npu(), cos.npu(), sin.npu()), by_pairs(gathered, cos, sin, "half"))
    with pytest.raises(RuntimeError, match="x is float32, expected float16 or bfloat16"):
        torch_npu.npu_interleave_rope(x.float().npu(), cos.float().npu(), sin.float().npu())
    with pytest.raises(RuntimeError, match="the last dimension of x is 32, expected 64"):
        torch_npu.npu_interleave_rope(*(t[..., :32].contiguous().npu() for t in (x, cos, sin)))


def test_apply_rotary_pos_emb() -> None:
    import torch_npu

    q, k, cos, sin = made(2, 5, 4, 8), made(2, 5, 2, 8), made(2, 5, 1, 8), made(2, 5, 1, 8)
    found = torch_npu.npu_apply_rotary_pos_emb(q.npu(), k.npu(), cos.npu(), sin.npu())
    for part, x in zip(found, (q, k), strict=True):
        close(part, by_pairs(x, cos, sin, "half"))


@pytest.mark.parametrize("mode", ["half", "interleaved"])
@pytest.mark.parametrize("section", [None, [3, 3, 2], [2, 2, 2, 2]])
def test_mrope(section: list[int] | None, mode: str) -> None:
    import torch_npu

    tokens, rotary = 5, 16
    table = made(20, rotary)
    q, k = made(tokens, 2 * 32), made(tokens, 32)
    positions = torch.randint(20, (tokens,) if section is None else (len(section), tokens))
    rows = positions if section is None else None
    halves = []
    for part in table.double().chunk(2, -1):
        if rows is not None:
            halves.append(part[rows])
        else:
            ends = torch.tensor(section).cumsum(0)
            owner = torch.searchsorted(ends, torch.arange(rotary // 2), right=True)
            halves.append(torch.stack([part[positions[o], i] for i, o in enumerate(owner.tolist())], -1))
    cos, sin = (
        torch.cat((half, half), -1) if mode == "half" else torch.stack((half, half), -1).flatten(-2) for half in halves
    )

    def expected(x: Tensor) -> Tensor:
        heads = x.view(tokens, -1, 32)
        front = by_pairs(heads[..., :rotary], cos[:, None], sin[:, None], "half" if mode == "half" else "interleave")
        return torch.cat((front, heads[..., rotary:].double()), -1).view(x.shape)

    found = torch_npu.npu_mrope(
        positions.npu(), q.npu(), k.npu(), table.npu(), 32, mrope_section=section, rotary_mode=mode
    )
    close(found[0], expected(q))
    close(found[1], expected(k))


def test_limits() -> None:
    import torch_npu

    x, r = torch.ones(2, 3, 5, 8).npu(), torch.ones(1, 1, 5, 8).npu()
    with pytest.raises(RuntimeError, match="rotary_mode is 'quarter', expected 'half' or 'interleave'"):
        torch_npu.npu_rotary_mul(x, r, r, "quarter")
    with pytest.raises(RuntimeError, match=r"r2 is \[1, 1, 5, 4\], expected the shape of r1"):
        torch_npu.npu_rotary_mul(x, r, r[..., :4])
    with pytest.raises(RuntimeError, match=r"r1 is \[1, 1, 4, 8\], expected broadcastable to \[2, 3, 5, 8\]"):
        torch_npu.npu_rotary_mul(x, r[:, :, :4], r[:, :, :4])
    wide = torch.ones(1, 1, 1, 896).npu()
    with pytest.raises(RuntimeError, match="the last dimension of self is 896, expected at most 895"):
        torch_npu.npu_rotary_mul(wide, wide, wide)
    with pytest.raises(RuntimeError, match="self is 2-dimensional, expected 3 to 4 dimensions"):
        torch_npu.npu_rotary_mul(wide[0, 0], wide[0, 0], wide[0, 0])
