"""Quantization to 8 and 4 bits, and products of what is quantized."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from npu_emulator.operators.casts import TYPES, type_of
from npu_emulator.operators.limits import FLOATS, HALVES, dimensions, limit, newest_line, one_of, require, types
from npu_emulator.operators.precision import wide
from npu_emulator.operators.registry import kernel

_RANGES = {torch.int8: (-128, 127), torch.uint8: (0, 255), torch.int32: (-(2**31), 2**31 - 1)}
_INT8_OF = {torch.qint8: torch.int8, torch.quint8: torch.uint8, torch.qint32: torch.int32}
_NIBBLES = tuple(range(0, 32, 4))


def rounded_to_int8(x: Tensor) -> Tensor:
    """Rounded to even, cut to the range."""
    return x.round().clamp(-128, 127).to(torch.int8)


def pack_int4(values: Tensor) -> Tensor:
    """Eight numbers of -8 to 7 as one int32, the first in the lowest bits."""
    shifts = torch.tensor(_NIBBLES, device=values.device)
    nibbles = (torch.unflatten(values.long(), -1, (-1, 8)) & 0xF) << shifts
    total = nibbles.sum(-1)
    return torch.where(total >= 2**31, total - 2**32, total).to(torch.int32)


def unpack_int4(packed: Tensor) -> Tensor:
    """The reverse: int8, eight times as many in the last dimension (which a transpose may have made another)."""
    if packed.dim() >= 2 and packed.stride(-1) != 1 and packed.stride(-2) == 1:
        return unpack_int4(packed.transpose(-1, -2)).transpose(-1, -2)
    shifts = torch.tensor(_NIBBLES, device=packed.device)
    nibbles = packed.long()[..., None] >> shifts & 0xF
    return torch.where(nibbles >= 8, nibbles - 16, nibbles).to(torch.int8).flatten(-2)


@kernel("npu_convert_weight_to_int4pack")
def convert_weight_to_int4pack(weight: Tensor, inner_k_tiles: int = 0) -> Tensor:
    """[a, b] in int32 with values of -8 to 7 as [a, b / 8], eight a number."""
    operator = "npu_convert_weight_to_int4pack"
    types(operator, (torch.int32,), weight=weight)
    dimensions(operator, 2, 3, weight=weight)
    require(weight.shape[-1] % 8 == 0, operator, "the last dimension of weight", weight.shape[-1], "a multiple of 8")
    if weight.device.type != "meta" and weight.numel():
        low, high = int(weight.min()), int(weight.max())
        limit(low >= -8 and high <= 7, operator, "the values of weight", f"{low} to {high}", "-8 to 7")
    return pack_int4(weight)


def _along(parameter: Tensor, x: Tensor, axis: int) -> Tensor:
    """A scale or offset in a shape that broadcasts along ``axis``."""
    if parameter.dim() > 1 or parameter.numel() == 1:
        return wide(parameter)
    size = [1] * x.dim()
    size[axis] = -1
    return wide(parameter).view(size)


@kernel("npu_quantize")
def quantize(
    self: Tensor, scales: Tensor, zero_points: Tensor | None, dtype: int, axis: int = 1, div_mode: bool = True
) -> Tensor:
    """round(self / scales + zero_points), or times scales without ``div_mode``; quint4x2 gives eight an int32."""
    operator = "npu_quantize"
    wanted = type_of(operator, dtype, torch.qint8)
    types(operator, FLOATS, self=self)
    allowed: tuple[torch.dtype, ...] = (torch.qint8, torch.quint8, torch.int32)
    if not div_mode:
        allowed = (torch.qint8, torch.int8, torch.quint4x2)
    limit(wanted in allowed, operator, "dtype", wanted, " or ".join(map(str, allowed)))
    types(operator, (torch.float32, torch.bfloat16) if div_mode else FLOATS, scales=scales)
    if not div_mode:
        axis = -2 if axis == -2 else -1
    require(-self.dim() <= axis < self.dim(), operator, "axis", axis, f"a dimension of {list(self.shape)}")
    scale = _along(scales, self, axis)
    result = wide(self) / scale if div_mode else wide(self) * scale
    if zero_points is not None:
        result = result + _along(zero_points, self, axis)
    if wanted == torch.quint4x2:
        require(self.shape[-1] % 8 == 0, operator, "the last dimension of self", self.shape[-1], "a multiple of 8")
        return pack_int4(result.round().clamp(-8, 7))
    stored = _INT8_OF.get(wanted, wanted)
    low, high = _RANGES[stored]
    return result.double().round().clamp(low, high).to(stored)


@kernel("npu_anti_quant")
def anti_quant(
    x: Tensor,
    scale: Tensor,
    *,
    offset: Tensor | None = None,
    dst_dtype: int | None = None,
    src_dtype: int | None = None,
) -> Tensor:
    """(x + offset) * scale in float16 or bfloat16; int32 holds eight numbers of 4 bits."""
    operator = "npu_anti_quant"
    types(operator, (torch.int8, torch.int32), x=x)
    types(operator, (torch.float32, torch.bfloat16), scale=scale, offset=offset)
    wanted = type_of(operator, dst_dtype, torch.float16)
    one_of(operator, "dst_dtype", wanted, HALVES)
    values = wide(unpack_int4(x) if x.dtype == torch.int32 else x)
    return ((values if offset is None else values + wide(offset)) * wide(scale)).to(wanted)


def _largest(dst_type: torch.dtype) -> int:
    return 7 if dst_type == torch.quint4x2 else 127


def _smoothed(operator: str, x: Tensor, smooth: Tensor | None, groups: Tensor | None) -> Tensor:
    """x times its smooth scales: one row of them, or one a group of rows, by the sums of the groups' sizes."""
    if smooth is None:
        limit(groups is None, operator, "group_index", "given", "None without smooth_scales")
        return wide(x)
    if groups is None:
        require(list(smooth.shape) == [x.shape[-1]], operator, "smooth_scales", list(smooth.shape), [x.shape[-1]])
        return wide(x) * wide(smooth)
    types(operator, (torch.int32,), group_index=groups)
    rows = torch.arange(x[..., 0].numel(), device=x.device)
    group = torch.searchsorted(groups.to(rows.dtype), rows, right=True).clamp(max=smooth.shape[0] - 1)
    return wide(x) * wide(smooth)[group].view(x.shape)


def _check_dynamic(operator: str, x: Tensor, smooth: Tensor | None, dst_type: torch.dtype, mode: str) -> None:
    types(operator, HALVES, input=x, smooth_scales=smooth)
    dimensions(operator, 2, 8, input=x)
    one_of(operator, "quant_mode", mode, ("pertoken", "pertensor", "perchannel"))
    limit(mode == "pertoken" or newest_line(), operator, "quant_mode", repr(mode), "'pertoken'")
    limit(dst_type in (torch.int8, torch.quint4x2), operator, "dst_type", dst_type, "int8 or quint4x2")
    if dst_type == torch.quint4x2:
        require(x.shape[-1] % 8 == 0, operator, "the last dimension of input", x.shape[-1], "a multiple of 8")


def _reduced(x: Tensor, mode: str, largest: bool) -> Tensor:
    """The maximum or minimum of each token, channel or of all, kept as dimensions of one."""
    reduce = torch.amax if largest else torch.amin
    if mode == "pertensor":
        return reduce(x, tuple(range(x.dim())), keepdim=True)
    return reduce(x, -1 if mode == "pertoken" else -2, keepdim=True)


def _without_kept(scale: Tensor, mode: str) -> Tensor:
    if mode == "pertensor":
        return scale.view(1)
    return scale.squeeze(-1 if mode == "pertoken" else -2)


def dynamic_scale(x: Tensor, largest: float) -> tuple[Tensor, Tensor]:
    """Each row of x divided by its scale, and the scales."""
    scale = x.abs().amax(-1, keepdim=True) / largest
    return torch.where(scale > 0, x / torch.where(scale > 0, scale, 1.0), 0.0), scale.squeeze(-1)


@kernel("npu_dynamic_quant")
def dynamic_quant(
    input: Tensor,
    *,
    smooth_scales: Tensor | None = None,
    group_index: Tensor | None = None,
    dst_type: int | None = None,
    quant_mode: str = "pertoken",
    dst_type_max: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Each row over its largest absolute value times 127 (7 for 4 bits), rounded; and the scales in float32."""
    operator = "npu_dynamic_quant"
    wanted = type_of(operator, dst_type, torch.int8)
    _check_dynamic(operator, input, smooth_scales, wanted, quant_mode)
    x = _smoothed(operator, input, smooth_scales, group_index)
    scale = _reduced(x.abs(), quant_mode, True) / _largest(wanted)
    result = torch.where(scale > 0, x / torch.where(scale > 0, scale, 1.0), 0.0)
    quantized = pack_int4(result.round().clamp(-8, 7)) if wanted == torch.quint4x2 else rounded_to_int8(result)
    return quantized, _without_kept(scale, quant_mode).float()


@kernel("npu_dynamic_quant_asymmetric")
def dynamic_quant_asymmetric(
    input: Tensor,
    *,
    smooth_scales: Tensor | None = None,
    group_index: Tensor | None = None,
    dst_type: int | None = None,
    quant_mode: str = "pertoken",
    dst_type_max: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Each row spread over all 256 (16) values; and the scales and offsets in float32."""
    operator = "npu_dynamic_quant_asymmetric"
    wanted = type_of(operator, dst_type, torch.int8)
    _check_dynamic(operator, input, smooth_scales, wanted, quant_mode)
    x = _smoothed(operator, input, smooth_scales, group_index)
    low, high = _reduced(x, quant_mode, False), _reduced(x, quant_mode, True)
    top = _largest(wanted)
    scale = (high - low) / (2 * top + 1)
    safe = torch.where(scale > 0, scale, 1.0)
    offset = top - high / safe
    result = x / safe + offset
    quantized = pack_int4(result.round().clamp(-8, 7)) if wanted == torch.quint4x2 else rounded_to_int8(result)
    return quantized, _without_kept(scale, quant_mode).float(), _without_kept(offset, quant_mode).float()


@kernel("npu_trans_quant_param")
def trans_quant_param(scale: Tensor, offset: Tensor | None = None, round_mode: int | None = 0) -> Tensor:
    """The upper 19 bits of the scale in an int64 beside a flag at bit 46, and the offset in bits 37 to 45."""
    operator = "npu_trans_quant_param"
    types(operator, (torch.float32,), scale=scale, offset=offset)
    one_of(operator, "round_mode", round_mode, (0, 1))
    bits = scale.contiguous().view(torch.int32).long() & 0xFFFFFFFF
    if round_mode == 1:
        bits = bits + 0xFFF + (bits >> 13 & 1)
    result = bits & 0xFFFFE000 | 1 << 46
    if offset is None:
        return result
    stored = offset.round().clamp(-256, 255).long() & 0x1FF
    return result & 0x4000FFFFFFFF | stored << 37


def decode_quant_param(parameter: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and offset in float32, as npu_trans_quant_param packed them."""
    bits = parameter & 0xFFFFFFFF
    scale = torch.where(bits >= 2**31, bits - 2**32, bits).to(torch.int32).view(torch.float32)
    offset = parameter >> 37 & 0x1FF
    return scale, torch.where(offset >= 256, offset - 512, offset).float()


def _integers(x: Tensor) -> Tensor:
    """int8 as it is, int32 as eight numbers of 4 bits each; in float64, which holds every product's sum exactly."""
    return (unpack_int4(x) if x.dtype == torch.int32 else x).double()


@kernel("npu_quant_matmul")
def quant_matmul(
    x1: Tensor,
    x2: Tensor,
    scale: Tensor,
    *,
    offset: Tensor | None = None,
    pertoken_scale: Tensor | None = None,
    bias: Tensor | None = None,
    output_dtype: int | None = None,
    x1_dtype: int | None = None,
    x2_dtype: int | None = None,
    pertoken_scale_dtype: int | None = None,
    scale_dtype: int | None = None,
    group_sizes: list[int] | None = None,
    y_scale: Tensor | None = None,
) -> Tensor:
    """x1 [..., M, K] @ x2 [..., K, N] in integers, then the scale of the columns and of the rows, bias and offset.

    An int32 bias is added before the scale, another after. int8 results are rounded and cut to their range.
    """
    operator = "npu_quant_matmul"
    output = type_of(operator, output_dtype, torch.int8)
    allowed = (torch.int8, torch.float16, torch.bfloat16, torch.int32)
    limit(output in allowed, operator, "output_dtype", output, " or ".join(map(str, allowed)))
    limit(y_scale is None, operator, "y_scale", "given", "None")
    dimensions(operator, 2, 6, x1=x1, x2=x2)
    types(operator, (torch.float32, torch.int64, torch.bfloat16), scale=scale)
    types(operator, (torch.float32,), pertoken_scale=pertoken_scale)
    types(operator, (torch.float32, torch.float16), offset=offset)
    types(operator, (torch.int32, *FLOATS), bias=bias)
    limit(x1.dtype == x2.dtype, operator, "x2", x2.dtype, f"{x1.dtype} as x1")
    _check_quant_output(operator, output, scale, offset, pertoken_scale, bias)
    types(operator, (torch.int8, torch.int32), x1=x1, x2=x2)
    left, right = _integers(x1), _integers(x2)
    require(left.shape[-1] == right.shape[-2], operator, "the rows of x2", right.shape[-2], left.shape[-1])
    columns = right.shape[-1]
    if scale.dim() == 2 and scale.shape[0] > 1:
        return _by_groups(left, right, scale, offset, pertoken_scale, output)
    fits = scale.numel() in (1, columns)
    require(fits, operator, "scale", list(scale.shape), f"1 or {columns} numbers")
    product = left @ right
    if bias is not None and bias.dtype == torch.int32:
        product = product + bias
    gain, shift = (wide(scale).view(-1), None) if scale.dtype != torch.int64 else decode_quant_param(scale.view(-1))
    result = product.float() if output == torch.int32 else product.float() * gain
    if pertoken_scale is not None:
        require(
            pertoken_scale.numel() == left.shape[-2], operator, "pertoken_scale", pertoken_scale.numel(), left.shape[-2]
        )
        result = result * pertoken_scale.view(-1, 1)
    if bias is not None and bias.dtype != torch.int32:
        result = result + wide(bias)
    if offset is not None:
        result = result + wide(offset)
    elif shift is not None and output == torch.int8:
        result = result + shift
    return rounded_to_int8(result) if output == torch.int8 else result.to(output)


def _check_quant_output(
    operator: str,
    output: torch.dtype,
    scale: Tensor,
    offset: Tensor | None,
    pertoken: Tensor | None,
    bias: Tensor | None,
) -> None:
    if output == torch.bfloat16:
        limit(scale.dtype != torch.int64, operator, "scale", scale.dtype, "float32 or bfloat16 for a bfloat16 result")
    if output in (torch.int8, torch.int32):
        limit(pertoken is None, operator, "pertoken_scale", "given", f"None for a result in {output}")
        plain = bias is None or bias.dtype == torch.int32
        limit(plain, operator, "bias", "of another type", f"int32 for a result in {output}")
    if offset is not None and offset.dtype == torch.float32:
        limit(output == torch.int8, operator, "offset", "given", f"None for a result in {output}")


def _by_groups(
    left: Tensor, right: Tensor, scale: Tensor, offset: Tensor | None, pertoken: Tensor | None, output: torch.dtype
) -> Tensor:
    """Weights with a scale (and offset) for each group of their rows."""
    size = right.shape[-2] // scale.shape[0]
    gain = wide(scale).repeat_interleave(size, 0)
    shifted = right.float() if offset is None else right.float() + wide(offset).repeat_interleave(size, 0)
    result = left.float() @ (shifted * gain)
    return (result if pertoken is None else result * pertoken.view(-1, 1)).to(output)


@kernel("npu_weight_quant_batchmatmul")
def weight_quant_batchmatmul(
    x: Tensor,
    weight: Tensor,
    antiquant_scale: Tensor,
    antiquant_offset: Tensor | None = None,
    quant_scale: Tensor | None = None,
    quant_offset: Tensor | None = None,
    bias: Tensor | None = None,
    antiquant_group_size: int = 0,
    inner_precise: int = 0,
    weight_dtype: int | None = None,
) -> Tensor:
    """x [M, K] @ ((weight + antiquant_offset) * antiquant_scale) + bias, weight [K, N] in int8 or 4 bits.

    The scale is one number, one a column, or one a group of ``antiquant_group_size`` rows and a column.
    """
    operator = "npu_weight_quant_batchmatmul"
    types(operator, HALVES, x=x)
    types(operator, (torch.int8, torch.int32), weight=weight)
    types(operator, (*HALVES, torch.int64), antiquant_scale=antiquant_scale)
    types(operator, (*HALVES, torch.int32), antiquant_offset=antiquant_offset)
    dimensions(operator, 2, 2, x=x, weight=weight)
    if antiquant_scale.dtype != torch.int64:
        limit(antiquant_scale.dtype == x.dtype, operator, "antiquant_scale", antiquant_scale.dtype, f"{x.dtype} as x")
    types(operator, (torch.float32,) if x.dtype == torch.bfloat16 else (torch.float16,), bias=bias)
    limit(
        quant_offset is None or quant_scale is not None, operator, "quant_offset", "given", "None without quant_scale"
    )
    values = wide(unpack_int4(weight) if weight.dtype == torch.int32 else weight)
    rows, columns = values.shape
    require(rows == x.shape[1], operator, "the rows of weight", rows, f"{x.shape[1]}, as x has columns")
    if antiquant_group_size:
        fits = antiquant_group_size % 32 == 0 and 32 <= antiquant_group_size <= rows - 1
        limit(fits, operator, "antiquant_group_size", antiquant_group_size, f"32 to {rows - 1}, in steps of 32")

    def spread(parameter: Tensor) -> Tensor:
        if parameter.dim() == 2 and parameter.shape[0] > 1:
            return wide(parameter).repeat_interleave(antiquant_group_size, 0)[:rows]
        return wide(parameter).reshape(1, -1)

    scale = decode_quant_param(antiquant_scale)[0] if antiquant_scale.dtype == torch.int64 else antiquant_scale
    gain = spread(scale)
    require(
        gain.shape[-1] in (1, columns), operator, "antiquant_scale", list(antiquant_scale.shape), f"{columns} columns"
    )
    plain = (values if antiquant_offset is None else values + spread(antiquant_offset)) * gain
    result = wide(x) @ plain
    if bias is not None:
        result = result + wide(bias).reshape(1, -1)
    if quant_scale is None:
        return result.to(x.dtype)
    shift = None if quant_offset is None else wide(quant_offset)
    if quant_scale.dtype == torch.int64:
        quant_scale, shift = decode_quant_param(quant_scale)
    result = result * wide(quant_scale).reshape(1, -1)
    return rounded_to_int8(result if shift is None else result + shift.reshape(1, -1))


def _rows_of_groups(x: Tensor, group_index: Tensor | None) -> Tensor | None:
    """The group of each row, from the groups' sizes."""
    if group_index is None:
        return None
    ends = group_index.cumsum(0)
    rows = torch.arange(x.shape[0], device=x.device)
    return torch.searchsorted(ends, rows, right=True).clamp(max=len(ends) - 1)


def _glu(x: Tensor, mode: int, activate_left: bool, clamp: float, alpha: float, bias: float) -> Tensor:
    if mode == 1:
        gate, value = x[..., ::2], x[..., 1::2]
    else:
        gate, value = x.chunk(2, -1) if activate_left else reversed(x.chunk(2, -1))
    if mode == 0:
        return functional.silu(gate) * value
    gate, value = gate.clamp(max=clamp), value.clamp(-clamp, clamp)
    return gate * torch.sigmoid(alpha * gate) * (value + bias)


@kernel("npu_dequant_swiglu_quant")
def dequant_swiglu_quant(
    x: Tensor,
    *,
    weight_scale: Tensor | None = None,
    activation_scale: Tensor | None = None,
    bias: Tensor | None = None,
    quant_scale: Tensor | None = None,
    quant_offset: Tensor | None = None,
    group_index: Tensor | None = None,
    activate_left: bool = False,
    quant_mode: int = 0,
    dst_type: int | None = None,
    round_mode: int | None = None,
    activate_dim: int | None = None,
    swiglu_mode: int = 0,
    clamp_limit: float = 7.0,
    glu_alpha: float = 1.702,
    glu_bias: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """SwiGLU of x [T, 2H] (times its scales), quantized to int8 by a scale given (0) or found for each row (1).

    Scales have a row for each group of rows, by the groups' sizes in ``group_index``.
    """
    operator = "npu_dequant_swiglu_quant"
    types(operator, (torch.int32, *HALVES), x=x)
    types(operator, (torch.float32,), weight_scale=weight_scale, activation_scale=activation_scale)
    types(operator, FLOATS, quant_scale=quant_scale, quant_offset=quant_offset)
    types(operator, (torch.int64,), group_index=group_index)
    require(x.shape[-1] % 2 == 0, operator, "the last dimension of x", x.shape[-1], "an even size")
    one_of(operator, "quant_mode", quant_mode, (0, 1))
    one_of(operator, "swiglu_mode", swiglu_mode, (0, 1, 2))
    limit(type_of(operator, dst_type, torch.int8) == torch.int8, operator, "dst_type", dst_type, "int8")
    if x.dtype == torch.int32:
        require(activation_scale is not None, operator, "activation_scale", None, "a tensor for x in int32")
    else:
        limit(activation_scale is None and bias is None, operator, "activation_scale or bias", "given", "None")
    if group_index is not None:
        limit(bias is None and quant_offset is None, operator, "bias or quant_offset", "given", "None with groups")
    group = _rows_of_groups(x, group_index)

    def rows(parameter: Tensor) -> Tensor:
        return wide(parameter) if group is None else wide(parameter)[group]

    values = wide(x) if bias is None else wide(x) + wide(bias)
    if weight_scale is not None:
        values = values * rows(weight_scale)
    if activation_scale is not None:
        values = values * activation_scale.view(*x.shape[:-1], 1)
    result = _glu(values, swiglu_mode, activate_left, clamp_limit, glu_alpha, glu_bias)
    if quant_mode == 1:
        if quant_scale is not None:
            result = result * rows(quant_scale)
        scaled, scale = dynamic_scale(result, 127)
        return rounded_to_int8(scaled), scale
    if quant_scale is not None:
        result = result * rows(quant_scale)
    if quant_offset is not None:
        result = result + rows(quant_offset)
    return rounded_to_int8(result), result.new_empty(x.shape[0])


def _block_quant_shapes(x: Tensor, **options: object) -> tuple[Tensor, Tensor]:
    sizes = (int(str(options.get("row_block_size", 1))), int(str(options.get("col_block_size", 128))))
    blocks = [-(-size // block) for size, block in zip(x.shape[-2:], sizes, strict=True)]
    quantized = torch.empty_like(x, dtype=TYPES[int(str(options.get("dst_type", 1)))])
    return quantized, x.new_empty(*x.shape[:-2], *blocks, dtype=torch.float32)


@kernel("npu_dynamic_block_quant", shapes=_block_quant_shapes)
def dynamic_block_quant(
    x: Tensor,
    *,
    min_scale: float = 0.0,
    round_mode: str = "rint",
    dst_type: int = 1,
    row_block_size: int = 1,
    col_block_size: int = 128,
    dst_type_max: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Each block of a matrix over its largest absolute value times 127 (448 for float8), and the scales in float32.

    A scale is at most ``1 / min_scale``.
    """
    operator = "npu_dynamic_block_quant"
    wanted = type_of(operator, dst_type, torch.int8)
    types(operator, HALVES, x=x)
    dimensions(operator, 2, 3, x=x)
    allowed = (torch.int8, torch.float8_e5m2, torch.float8_e4m3fn) if newest_line() else (torch.int8,)
    limit(wanted in allowed, operator, "dst_type", wanted, " or ".join(map(str, allowed)))
    rows, columns = ((1, 128, 256, 512), (64, 128, 192, 256)) if newest_line() else ((1,), (1, 128))
    limit(row_block_size in rows, operator, "row_block_size", row_block_size, " or ".join(map(str, rows)))
    limit(col_block_size in columns, operator, "col_block_size", col_block_size, " or ".join(map(str, columns)))
    limit(round_mode == "rint", operator, "round_mode", repr(round_mode), "'rint'")
    limit(dst_type_max == 0, operator, "dst_type_max", dst_type_max, "0, but for hifloat8")
    limit(min_scale >= 0, operator, "min_scale", min_scale, "0 or more")
    height, width = x.shape[-2:]
    padded = torch.nn.functional.pad(wide(x), (0, -width % col_block_size, 0, -height % row_block_size))
    sizes = (padded.shape[-2] // row_block_size, row_block_size, padded.shape[-1] // col_block_size, col_block_size)
    blocks = padded.view(*x.shape[:-2], *sizes)
    scale = blocks.abs().amax((-3, -1), keepdim=True) / (127 if wanted == torch.int8 else 448)
    if min_scale > 0:
        scale = scale.clamp(max=1 / min_scale)
    quotients = torch.where(scale > 0, blocks / torch.where(scale > 0, scale, 1.0), 0.0)
    matrix = quotients.flatten(-4, -3).flatten(-2)[..., :height, :width]
    return rounded_to_int8(matrix) if wanted == torch.int8 else matrix.to(wanted), scale.squeeze(-1).squeeze(-2)
