"""Quantization against its formulas in float64."""

from __future__ import annotations

import struct

import pytest
import torch
from torch import Tensor

from tests.npu_emulator.operators.holding import close, made


def nibbles(packed: Tensor) -> Tensor:
    """Eight signed numbers of four bits out of each int32, the lowest first."""
    rows = [
        [(word >> shift & 15) - (16 if word >> shift & 8 else 0) for word in row for shift in range(0, 32, 4)]
        for row in packed.flatten(0, -2).tolist()
    ]
    return torch.tensor(rows).view(*packed.shape[:-1], -1)


def test_four_bits_are_packed_by_eights() -> None:
    import torch_npu

    weight = torch.randint(-8, 8, (5, 16), dtype=torch.int32)
    packed = torch_npu.npu_convert_weight_to_int4pack(weight.npu())
    assert (packed.shape, packed.dtype) == ((5, 2), torch.int32)
    assert torch.equal(nibbles(packed.cpu()), weight.long())
    with pytest.raises(RuntimeError, match="the values of weight is 1 to 8, expected -8 to 7"):
        torch_npu.npu_convert_weight_to_int4pack(torch.arange(1, 9, dtype=torch.int32).view(1, 8).npu())


@pytest.mark.parametrize("div_mode", [True, False])
def test_quantize(div_mode: bool) -> None:
    import torch_npu

    x, scales = made(4, 16, spread=20), torch.rand(16) + 0.5
    zero = torch.randint(-5, 5, (16,))
    for wanted, low, high in ((torch.qint8, -128, 127), (torch.quint8, 0, 255), (torch.int32, -(2**31), 2**31)):
        if not div_mode and wanted != torch.qint8:
            continue
        points = zero.int() if div_mode else zero.float()
        found = torch_npu.npu_quantize(x.npu(), scales.npu(), points.npu(), wanted, -1, div_mode)
        scaled = x.double() / scales.double() if div_mode else x.double() * scales.double()
        expected = (scaled + zero).clamp(low, high)
        assert (found.cpu().double() - expected).abs().max() <= 0.5 + 1e-4
        assert found.dtype == {torch.qint8: torch.int8, torch.quint8: torch.uint8}.get(wanted, wanted)
    if not div_mode:
        packed = torch_npu.npu_quantize(x.npu(), scales.npu(), None, torch.quint4x2, -1, False)
        expected = (x.double() * scales.double()).clamp(-8, 7)
        assert (nibbles(packed.cpu()).double() - expected).abs().max() <= 0.5 + 1e-4


@pytest.mark.parametrize("dst_type", [None, torch.quint4x2])
def test_dynamic_quant(dst_type: torch.dtype | None) -> None:
    import torch_npu

    top = 7 if dst_type else 127
    for dtype in (torch.float16, torch.bfloat16):
        x, smooth = made(3, 4, 16, dtype=dtype), (torch.rand(16) + 0.5).to(dtype)
        for scales in (None, smooth):
            found, scale = torch_npu.npu_dynamic_quant(
                x.npu(), smooth_scales=None if scales is None else scales.npu(), dst_type=dst_type
            )
            smoothed = x.double() if scales is None else x.double() * scales.double()
            close(scale, smoothed.abs().amax(-1) / top)
            values = nibbles(found.cpu()) if dst_type else found.cpu()
            expected = smoothed / smoothed.abs().amax(-1, keepdim=True) * top
            assert (values.double() - expected).abs().max() <= 0.5 + 1e-3


def test_dynamic_quant_of_groups() -> None:
    import torch_npu

    x, smooth = made(6, 8, dtype=torch.float16), (torch.rand(3, 8) + 0.5).half()
    found, scale = torch_npu.npu_dynamic_quant(
        x.npu(), smooth_scales=smooth.npu(), group_index=torch.tensor([1, 4, 6], dtype=torch.int32).npu()
    )
    smoothed = x.double() * smooth.double()[[0, 1, 1, 1, 2, 2]]
    close(scale, smoothed.abs().amax(-1) / 127)
    expected = smoothed / smoothed.abs().amax(-1, keepdim=True) * 127
    assert (found.cpu().double() - expected).abs().max() <= 0.51


def test_asymmetric_dynamic_quant_uses_all_values() -> None:
    import torch_npu

    x = (made(3, 64) + 5).half()
    found, scale, offset = torch_npu.npu_dynamic_quant_asymmetric(x.npu())
    restored = (found.cpu().double() - offset.cpu().double()[:, None]) * scale.cpu().double()[:, None]
    assert (restored - x.double()).abs().max() <= scale.max().item() * 0.51
    assert found.cpu().int().amin(-1).le(-127).all()
    assert found.cpu().int().amax(-1).eq(127).all()


def test_anti_quant() -> None:
    import torch_npu

    x, scale, offset = torch.randint(-128, 128, (4, 8), dtype=torch.int8), torch.rand(8), made(8)
    found = torch_npu.npu_anti_quant(x.npu(), scale.npu(), offset=offset.npu())
    close(found, (x.double() + offset.double()) * scale.double())
    assert found.dtype == torch.float16


def test_trans_quant_param_keeps_19_bits() -> None:
    import torch_npu

    scale, offset = torch.tensor([0.37, -1.5, 3.0e-5]), torch.tensor([3.0, -7.4, 300.0])
    for stored, value in zip(torch_npu.npu_trans_quant_param(scale.npu()).tolist(), scale.tolist(), strict=True):
        bits = struct.unpack("<I", struct.pack("<f", value))[0]
        assert stored == (bits & 0xFFFFE000) | 1 << 46
    stored = torch_npu.npu_trans_quant_param(scale.npu(), offset.npu()).tolist()
    assert [word >> 37 & 0x1FF for word in stored] == [3, -7 & 0x1FF, 255]


def whole(*size: int, dtype: torch.dtype = torch.int8) -> Tensor:
    return torch.randint(-9, 9, size, dtype=dtype)


@pytest.mark.parametrize("output", [torch.float16, torch.bfloat16, torch.int8, torch.int32])
def test_quant_matmul(output: torch.dtype) -> None:
    import torch_npu

    x1, x2, bias = whole(2, 5, 16), whole(16, 8), whole(8, dtype=torch.int32)
    scale, tokens, offset = torch.rand(8) * 0.1, torch.rand(5), made(8)
    options = {"bias": bias.npu(), "output_dtype": output}
    expected = x1.double() @ x2.double() + bias.double()
    if output != torch.int32:
        expected = expected * scale.double()
    if output in (torch.float16, torch.bfloat16):
        options["pertoken_scale"], expected = tokens.npu(), expected * tokens.double()[:, None]
    if output == torch.int8:
        options["offset"], expected = offset.npu(), (expected + offset.double()).clamp(-128, 127)
    found = torch_npu.npu_quant_matmul(x1.npu(), x2.npu(), scale.npu(), **options)
    assert found.dtype == output
    if output.is_floating_point:
        close(found, expected)
    else:
        assert (found.cpu().double() - expected).abs().max() <= 0.5 + 1e-4
    if output == torch.bfloat16:
        later = made(8)
        found = torch_npu.npu_quant_matmul(x1.npu(), x2.npu(), scale.npu(), bias=later.npu(), output_dtype=output)
        close(found, x1.double() @ x2.double() * scale.double() + later.double())
    if output == torch.int8:
        packed = torch_npu.npu_trans_quant_param(scale.npu(), offset.round().npu())
        found = torch_npu.npu_quant_matmul(x1.npu(), x2.npu(), packed)
        expected = (x1.double() @ x2.double() * scale.double() + offset.round()).clamp(-128, 127)
        assert (found.cpu().double() - expected).abs().max() <= 1


@pytest.mark.parametrize("transposed", [False, True])
def test_quant_matmul_of_four_bits(transposed: bool) -> None:
    import torch_npu

    x1, x2 = torch.randint(-8, 8, (5, 16), dtype=torch.int32), torch.randint(-8, 8, (16, 8), dtype=torch.int32)
    left = torch_npu.npu_convert_weight_to_int4pack(x1.npu())
    if transposed:
        right = torch_npu.npu_convert_weight_to_int4pack(x2.t().contiguous().npu()).t()
    else:
        right = torch_npu.npu_convert_weight_to_int4pack(x2.npu())
    scale = torch.rand(8)
    found = torch_npu.npu_quant_matmul(left, right, scale.npu(), output_dtype=torch.float16)
    close(found, x1.double() @ x2.double() * scale.double())


@pytest.mark.parametrize("four_bits", [False, True])
@pytest.mark.parametrize("group", [0, 32])
def test_weight_quant_batchmatmul(group: int, four_bits: bool) -> None:
    import torch_npu

    x = made(5, 64, dtype=torch.float16)
    weight = torch.randint(-8, 8, (64, 16), dtype=torch.int32)
    rows = 64 // group if group else 1
    scale, offset, bias = made(rows, 16).half(), made(rows, 16).half(), made(16).half()
    on_device = torch_npu.npu_convert_weight_to_int4pack(weight.npu()) if four_bits else weight.to(torch.int8).npu()
    found = torch_npu.npu_weight_quant_batchmatmul(
        x.npu(), on_device, scale.npu(), offset.npu(), bias=bias.npu(), antiquant_group_size=group
    )
    spread = [t.double().repeat_interleave(64 // rows, 0) for t in (scale, offset)]
    plain = (weight.double() + spread[1]) * spread[0]
    close(found, x.double() @ plain + bias.double())


@pytest.mark.parametrize("mode", [0, 1, 2])
@pytest.mark.parametrize("left", [False, True])
def test_dequant_swiglu_quant(mode: int, left: bool) -> None:
    import torch_npu

    x = torch.randint(-50, 50, (6, 16), dtype=torch.int32)
    weights, tokens, smooth = torch.rand(2, 16) * 0.1, torch.rand(6, 1) + 0.5, torch.rand(2, 8) + 0.5
    found, scale = torch_npu.npu_dequant_swiglu_quant(
        x.npu(),
        weight_scale=weights.npu(),
        activation_scale=tokens.npu(),
        quant_scale=smooth.npu(),
        group_index=torch.tensor([2, 4]).npu(),
        activate_left=left,
        quant_mode=1,
        swiglu_mode=mode,
        clamp_limit=2.0,
    )
    group = [0, 0, 1, 1, 1, 1]
    values = x.double() * weights.double()[group] * tokens.double()
    first, second = values.chunk(2, -1) if left else reversed(values.chunk(2, -1))
    if mode == 1:
        first, second = values[:, ::2], values[:, 1::2]
    if mode:
        first, second = first.clamp(max=2), second.clamp(-2, 2)
        result = first / (1 + torch.exp(-1.702 * first)) * (second + 1)
    else:
        result = first / (1 + torch.exp(-first)) * second
    result = result * smooth.double()[group]
    close(scale, result.abs().amax(-1) / 127)
    assert (found.cpu().double() - result / result.abs().amax(-1, keepdim=True) * 127).abs().max() <= 0.51


def test_limits() -> None:
    import torch_npu

    x = torch.ones(4, 16)
    with pytest.raises(RuntimeError, match="npu_dynamic_quant: input is float32, expected float16 or bfloat16"):
        torch_npu.npu_dynamic_quant(x.npu())
    with pytest.raises(RuntimeError, match="quant_mode is 'pertensor', expected 'pertoken'"):
        torch_npu.npu_dynamic_quant(x.half().npu(), quant_mode="pertensor")
    with pytest.raises(RuntimeError, match=r"npu_quantize: dtype is torch\.float32, expected"):
        torch_npu.npu_quantize(x.npu(), x[0].npu(), None, torch.float32)
    ones = torch.ones(4, 4, dtype=torch.int8).npu()
    with pytest.raises(RuntimeError, match="x1 is float32, expected int8 or int32"):
        torch_npu.npu_quant_matmul(x.npu(), x.t().npu(), torch.ones(4).npu())
    with pytest.raises(RuntimeError, match=r"scale is torch\.int64, expected float32 or bfloat16 for"):
        torch_npu.npu_quant_matmul(ones, ones, torch.ones(4).long().npu(), output_dtype=torch.bfloat16)
    with pytest.raises(RuntimeError, match="pertoken_scale is given, expected None for a result in"):
        torch_npu.npu_quant_matmul(ones, ones, torch.ones(4).npu(), pertoken_scale=torch.ones(4).npu())
    with pytest.raises(RuntimeError, match="antiquant_group_size is 16, expected 32 to 63, in steps of 32"):
        torch_npu.npu_weight_quant_batchmatmul(
            torch.ones(2, 64).half().npu(),
            torch.ones(64, 8, dtype=torch.int8).npu(),
            torch.ones(4, 8).half().npu(),
            antiquant_group_size=16,
        )
    with pytest.raises(RuntimeError, match="hifloat8, expected a type that torch has"):
        torch_npu.npu_dynamic_quant(x.half().npu(), dst_type=290)


@pytest.mark.parametrize(("columns", "shape"), [(128, (3, 130)), (1, (3, 5)), (128, (2, 3, 64))])
def test_dynamic_block_quant(columns: int, shape: tuple[int, ...]) -> None:
    import torch_npu

    x = made(*shape).half()
    x[..., 0, :] = 0
    found, scale = torch_npu.npu_dynamic_block_quant(x.npu(), col_block_size=columns)
    blocks = x.double().split(columns, -1)
    expected = torch.stack([block.abs().amax(-1) / 127 for block in blocks], -1)
    close(scale, expected)
    unit = expected.repeat_interleave(columns, -1)[..., : shape[-1]]
    assert torch.equal(found.cpu(), torch.where(unit > 0, x / unit, 0.0).float().round().to(torch.int8))
    _, capped = torch_npu.npu_dynamic_block_quant(x.npu(), col_block_size=columns, min_scale=1000.0)
    assert capped.max().item() == pytest.approx(min(1e-3, expected.max().item()))
    with pytest.raises(RuntimeError, match="row_block_size is 128, expected 1 "):
        torch_npu.npu_dynamic_block_quant(x.npu(), row_block_size=128)
    with pytest.raises(RuntimeError, match=r"dtype is torch\.float8_e5m2, expected a type of this hardware"):
        torch_npu.npu_dynamic_block_quant(x.npu(), dst_type=torch.float8_e5m2)
