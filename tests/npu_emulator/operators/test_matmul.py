"""Matrix products against float64, and gradients against differences."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.npu_emulator.operators.holding import TYPES, check_gradient, close, made


def test_linear() -> None:
    import torch_npu

    for dtype in TYPES:
        x, weight, bias = made(2, 3, 5, dtype=dtype), made(4, 5, dtype=dtype), made(4, dtype=dtype)
        expected = x.double() @ weight.double().t() + bias.double()
        close(torch_npu.npu_linear(x.npu(), weight.npu(), bias.npu()), expected)
    check_gradient(torch_npu.npu_linear, made(2, 3, 4), made(2, 4), made(2))


def test_batched() -> None:
    import torch_npu

    a, b = made(2, 1, 3, 4), made(3, 4, 5)
    close(torch_npu.npu_bmmV2(a.npu(), b.npu(), []), a.double() @ b.double())
    check_gradient(lambda a, b: torch_npu.npu_bmmV2(a, b, []), made(2, 1, 2, 3), made(2, 3, 2))
    check_gradient(lambda a, b: torch_npu.npu_bmmV2(a, b, [4, 2]), made(2, 2, 3), made(2, 3, 2))


def test_transpose_batchmatmul() -> None:
    import torch_npu

    left, right = made(6, 2, 16, dtype=torch.float16), made(2, 16, 32, dtype=torch.float16)
    expected = torch.einsum("mbk,bkn->mbn", left.double(), right.double())
    found = torch_npu.npu_transpose_batchmatmul(left.npu(), right.npu(), perm_x1=[1, 0, 2])
    close(found, expected)
    split = torch_npu.npu_transpose_batchmatmul(left.npu(), right.npu(), perm_x1=[1, 0, 2], batch_split_factor=4)
    close(split, expected.reshape(6, 4, 16).transpose(0, 1))
    with pytest.raises(RuntimeError, match="N is 8, expected a multiple of 16"):
        torch_npu.npu_transpose_batchmatmul(left.npu(), right[..., :8].npu(), perm_x1=[1, 0, 2])


SIZES = [3, 0, 4, 2]


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("several_weights", [False, True])
def test_groups_of_rows(several_weights: bool, kind: int) -> None:
    import torch_npu

    for dtype in TYPES:
        bias_type = torch.float32 if dtype == torch.bfloat16 else dtype
        x, weight, bias = made(9, 5, dtype=dtype), made(4, 5, 6, dtype=dtype), made(4, 6, dtype=bias_type)
        groups = torch.tensor(SIZES if kind else torch.tensor(SIZES).cumsum(0).tolist())
        weights = [w.contiguous().npu() for w in weight] if several_weights else [weight.npu()]
        biases = [b.contiguous().npu() for b in bias] if several_weights else [bias.npu()]
        found = torch_npu.npu_grouped_matmul(
            [x.npu()],
            weights,
            bias=biases,
            group_list=groups.npu(),
            split_item=3,
            group_type=0,
            group_list_type=kind,
        )
        parts = [p.double() @ w.double() + b.double() for p, w, b in zip(x.split(SIZES), weight, bias, strict=True)]
        assert len(found) == 1
        close(found[0], torch.cat(parts))


def test_groups_of_their_own_and_by_list() -> None:
    import torch_npu

    x = [made(n, 5) for n in (3, 4)]
    weight = [made(5, 6), made(5, 2)]
    found = torch_npu.npu_grouped_matmul([t.npu() for t in x], [t.npu() for t in weight], group_type=-1)
    for part, a, b in zip(found, x, weight, strict=True):
        close(part, a.double() @ b.double())
    joined = torch.cat(x)
    found = torch_npu.npu_grouped_matmul([joined.npu()], [t.npu() for t in weight], group_list=[3, 7])
    for part, a, b in zip(found, x, weight, strict=True):
        close(part, a.double() @ b.double())


def test_groups_of_columns_are_the_gradient_of_a_weight() -> None:
    import torch_npu

    x, grad = made(9, 5), made(9, 6)
    found = torch_npu.npu_grouped_matmul(
        [x.npu().t()],
        [grad.npu()],
        group_list=torch.tensor(SIZES).npu(),
        split_item=3,
        group_type=2,
        group_list_type=1,
    )[0]
    pairs = zip(x.split(SIZES), grad.split(SIZES), strict=True)
    expected = torch.stack([a.double().t() @ b.double() for a, b in pairs])
    close(found, expected)
    total = made(4, 5, 6)
    half = [t.half() for t in (x, grad)]
    groups = torch.tensor(SIZES).cumsum(0).npu()
    pairs = zip(half[0].split(SIZES), half[1].split(SIZES), strict=True)
    expected = total.double() + torch.stack([a.double().t() @ b.double() for a, b in pairs])
    in_place = total.npu()
    close(torch_npu.npu_grouped_matmul_add(in_place, *(t.npu() for t in half), groups), expected)
    torch_npu.npu_grouped_matmul_add_(in_place, *(t.npu() for t in half), groups)
    close(in_place, expected)


@pytest.mark.parametrize("activation", [0, 1, 2, 5])
def test_quantized_groups(activation: int) -> None:
    import torch_npu

    x = torch.randint(-9, 9, (9, 8), dtype=torch.int8)
    weight = torch.randint(-9, 9, (4, 8, 6), dtype=torch.int8)
    bias = torch.randint(-9, 9, (4, 6), dtype=torch.int32)
    scale, tokens = torch.rand(4, 6), torch.rand(9)
    found = torch_npu.npu_grouped_matmul(
        [x.npu()],
        [weight.npu()],
        bias=[bias.npu()],
        scale=[scale.npu()],
        per_token_scale=[tokens.npu()],
        group_list=torch.tensor(SIZES).npu(),
        split_item=2,
        group_type=0,
        group_list_type=1,
        act_type=activation,
        output_dtype=torch.float16,
    )[0]
    groups = torch.repeat_interleave(torch.arange(4), torch.tensor(SIZES))
    plain = torch.einsum("mk,mkn->mn", x.double(), weight.double()[groups]) + bias[groups]
    plain = plain * scale.double()[groups] * tokens.double()[:, None]
    activate = {
        0: lambda y: y,
        1: torch.relu,
        2: lambda y: functional.gelu(y, approximate="tanh"),
        5: functional.silu,
    }
    assert found.dtype == torch.float16
    close(found, activate[activation](plain))


def test_limits() -> None:
    import torch_npu

    x, weight = torch.ones(4, 3).npu(), torch.ones(2, 3, 5).npu()
    with pytest.raises(RuntimeError, match=r"group_list is \[1, 2\], expected 4 rows in sum"):
        torch_npu.npu_grouped_matmul([x], [weight], group_list=torch.tensor([1, 3]).npu(), split_item=3, group_type=0)
    with pytest.raises(RuntimeError, match="group_type is 1, expected -1 or 0 or 2"):
        torch_npu.npu_grouped_matmul([x], [weight], group_list=torch.tensor([4]).npu(), group_type=1)
    with pytest.raises(RuntimeError, match=r"weight is torch\.float16, expected torch\.float32 as x"):
        torch_npu.npu_grouped_matmul([x], [weight.half()], group_list=torch.tensor([2, 4]).npu(), group_type=0)
    wide = x.cpu().double().npu()
    with pytest.raises(RuntimeError, match="x is float64"):
        torch_npu.npu_grouped_matmul([wide], [weight], group_list=torch.tensor([2, 4]).npu(), group_type=0)
    with pytest.raises(RuntimeError, match="weight is float16, expected float32 as input"):
        torch_npu.npu_linear(x, torch.ones(2, 3).half().npu())
