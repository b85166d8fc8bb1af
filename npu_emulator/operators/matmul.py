"""Matrix products: plain, batched with a transpose, and of groups of rows each with its own weight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from npu_emulator.operators.casts import type_of
from npu_emulator.operators.limits import FLOATS, dimensions, limit, one_of, refuse, require, same_type, types
from npu_emulator.operators.precision import wide
from npu_emulator.operators.quantization import rounded_to_int8, unpack_int4
from npu_emulator.operators.registry import derivative, kernel

MOST_TENSORS = 128
_INNER = 65536


@kernel("npu_linear")
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input @ weight.T + bias."""
    types("npu_linear", FLOATS, input=input, weight=weight, bias=bias)
    same_type("npu_linear", input=input, weight=weight)
    return functional.linear(wide(input), wide(weight), wide(bias)).to(input.dtype)


@kernel("npu_linear_backward")
def linear_backward(grad: Tensor, input: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of input and weight."""
    wide_grad = wide(grad)
    grad_weight = wide_grad.flatten(0, -2).t() @ wide(input).flatten(0, -2)
    return (wide_grad @ wide(weight)).to(input.dtype), grad_weight.to(weight.dtype)


@derivative("npu_linear", of="input weight bias")
def _linear(grad: Tensor, input: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
    grad_input, grad_weight = torch.ops.npu.npu_linear_backward(grad, input, weight)
    return grad_input, grad_weight, grad.flatten(0, -2).sum(0)


@kernel("npu_bmmV2")
def bmm_v2(self: Tensor, mat2: Tensor, output_sizes: list[int]) -> Tensor:
    """self @ mat2, broadcast over the leading dimensions, in the shape ``output_sizes`` if there is one."""
    types("npu_bmmV2", FLOATS, self=self, mat2=mat2)
    same_type("npu_bmmV2", self=self, mat2=mat2)
    result = (wide(self) @ wide(mat2)).to(self.dtype)
    return result.view(output_sizes) if output_sizes else result


def _product_of(grad: Tensor, mat1: Tensor, mat2: Tensor) -> Tensor:
    """The gradient in the shape of mat1 @ mat2."""
    batch = torch.broadcast_shapes(mat1.shape[:-2], mat2.shape[:-2])  # type: ignore[no-untyped-call,unused-ignore]
    return wide(grad).reshape(*batch, mat1.shape[-2], mat2.shape[-1])


@kernel("npu_bmm_v2_mat1_backward")
def bmm_v2_mat1_backward(grad: Tensor, mat1: Tensor, mat2: Tensor, size: list[int]) -> Tensor:
    """The gradient of mat1, of shape ``size``."""
    gradient = _product_of(grad, mat1, mat2) @ wide(mat2).transpose(-1, -2)
    return gradient.sum_to_size(size).to(mat1.dtype)


@kernel("npu_bmm_v2_mat2_backward")
def bmm_v2_mat2_backward(grad: Tensor, mat1: Tensor, mat2: Tensor, size: list[int]) -> Tensor:
    """The gradient of mat2, of shape ``size``."""
    gradient = wide(mat1).transpose(-1, -2) @ _product_of(grad, mat1, mat2)
    return gradient.sum_to_size(size).to(mat2.dtype)


@derivative("npu_bmmV2", of="self mat2")
def _bmm_v2(grad: Tensor, self: Tensor, mat2: Tensor) -> tuple[Tensor, Tensor]:
    return (
        torch.ops.npu.npu_bmm_v2_mat1_backward(grad, self, mat2, self.shape),
        torch.ops.npu.npu_bmm_v2_mat2_backward(grad, self, mat2, mat2.shape),
    )


@kernel("npu_transpose_batchmatmul")
def transpose_batchmatmul(
    input: Tensor,
    weight: Tensor,
    *,
    bias: Tensor | None = None,
    scale: Tensor | None = None,
    perm_x1: list[int] | None = None,
    perm_x2: list[int] | None = None,
    perm_y: list[int] | None = None,
    batch_split_factor: int | None = 1,
) -> Tensor:
    """[B, M, K] (or [M, B, K] with perm_x1 [1, 0, 2]) times [B, K, N], as [M, B, N].

    ``batch_split_factor`` n gives [n, M, B * N / n] instead.
    """
    operator = "npu_transpose_batchmatmul"
    types(operator, FLOATS, input=input, weight=weight)
    dimensions(operator, 3, 3, input=input, weight=weight)
    limit(bias is None, operator, "bias", "given", "None: it is reserved")
    if scale is not None:
        refuse(operator, "scale", "given", "None: the emulated NPU does not quantize here")
    limit(perm_x1 in (None, [0, 1, 2], [1, 0, 2]), operator, "perm_x1", perm_x1, "[0, 1, 2] or [1, 0, 2]")
    limit(perm_x2 in (None, [0, 1, 2]), operator, "perm_x2", perm_x2, "[0, 1, 2]")
    limit(perm_y in (None, [1, 0, 2]), operator, "perm_y", perm_y, "[1, 0, 2]")
    left, right = (x.permute(perm or [0, 1, 2]) for x, perm in ((input, perm_x1), (weight, perm_x2)))
    batch, rows, inner = left.shape
    columns = right.shape[-1]
    require(right.shape[1] == inner, operator, "the rows of weight", right.shape[1], inner)
    for name, size in (("K", inner), ("N", columns)):
        limit(size % 16 == 0, operator, name, size, "a multiple of 16")
    product = (wide(left) @ wide(right)).to(input.dtype).permute(1, 0, 2)
    split = batch_split_factor or 1
    if split == 1:
        return product.contiguous()
    require(batch * columns % split == 0, operator, "batch_split_factor", split, f"a divisor of {batch * columns}")
    return product.reshape(rows, split, -1).permute(1, 0, 2).contiguous()


def _group_sizes(operator: str, group_list: Tensor | Sequence[int], kind: int) -> list[int]:
    """Rows of each group, from their sums (0), their sizes (1), or pairs of index and size (2)."""
    one_of(operator, "group_list_type", kind, (0, 1, 2))
    numbers: list[Any] = group_list.tolist() if isinstance(group_list, Tensor) else list(group_list)
    if kind == 2:
        sizes = [0] * len(numbers)
        for index, size in numbers:
            sizes[index] = size
        return sizes
    sizes = numbers if kind == 1 else [end - start for start, end in zip([0, *numbers], numbers, strict=False)]
    require(all(size >= 0 for size in sizes), operator, "group_list", numbers, "numbers that do not fall")
    return sizes


class _Grouped:
    """One call of npu_grouped_matmul."""

    def __init__(
        self,
        x: Sequence[Tensor],
        weight: Sequence[Tensor],
        bias: Sequence[Tensor] | None,
        scale: Sequence[Tensor] | None,
        antiquant: tuple[Sequence[Tensor] | None, Sequence[Tensor] | None],
        per_token: Sequence[Tensor] | None,
        activation: int,
        output: torch.dtype,
    ) -> None:
        self.x, self.weight, self.bias, self.scale = x, weight, bias, scale
        self.antiquant, self.per_token, self.activation, self.output = antiquant, per_token, activation, output

    def product(self, rows: Tensor, group: int, per_token: Tensor | None) -> Tensor:
        """One group's rows times its weight, and what comes after."""
        weight = _of_group(self.weight, group, 2)
        assert weight is not None
        if rows.dtype == torch.int8:
            result = (rows.double() @ weight.double()).float()
        else:
            result = wide(rows) @ self.plain(weight, group)
        bias = _of_group(self.bias, group, 1)
        if bias is not None and (self.scale is None or bias.dtype == torch.int32):
            result = result + bias
        scale = _of_group(self.scale, group, 1)
        if scale is not None:
            result = result * _scale_values(scale)
        if per_token is not None:
            result = result * per_token[:, None]
        if bias is not None and self.scale is not None and bias.dtype != torch.int32:
            result = result + wide(bias)
        result = _ACTIVATIONS[self.activation](result)
        if self.output == torch.int8:
            return rounded_to_int8(result)
        return result.to(self.output)

    def plain(self, weight: Tensor, group: int) -> Tensor:
        """The weight in float32, from integers by their scale and offset."""
        scales, offsets = self.antiquant
        scale = _of_group(scales, group, 1)
        if scale is None:
            return wide(weight)
        values = wide(unpack_int4(weight) if weight.dtype == torch.int32 else weight)
        offset = _of_group(offsets, group, 1)
        if scale.dim() == 2 and scale.shape[0] > 1:
            scale = scale.repeat_interleave(values.shape[0] // scale.shape[0], 0)
            offset = None if offset is None else offset.repeat_interleave(values.shape[0] // offset.shape[0], 0)
        return (values if offset is None else values + wide(offset)) * wide(scale)


_ACTIVATIONS: dict[int, Callable[[Tensor], Tensor]] = {
    0: lambda x: x,
    1: torch.relu,
    2: lambda x: functional.gelu(x, approximate="tanh"),
    4: lambda x: x * torch.sigmoid(1.702 * x),
    5: functional.silu,
}


def _of_group(tensors: Sequence[Tensor] | None, group: int, plain: int) -> Tensor | None:
    """The tensor of a group: one of several, or a slice of the one that has a dimension more than ``plain``."""
    if not tensors:
        return None
    if len(tensors) > 1:
        return tensors[group]
    return tensors[0][group] if tensors[0].dim() > plain else tensors[0]


def _scale_values(scale: Tensor) -> Tensor:
    if scale.dtype == torch.int64:  # the bits of a float32 in the lower half
        return (scale & 0xFFFFFFFF).to(torch.int32).view(torch.float32)
    return wide(scale)


def _check_grouped(
    operator: str, x: Sequence[Tensor], weight: Sequence[Tensor], split_item: int, act_type: int
) -> None:
    for name, tensors in (("x", x), ("weight", weight)):
        limit(0 < len(tensors) <= MOST_TENSORS, operator, name, f"{len(tensors)} tensors", f"1 to {MOST_TENSORS}")
        for tensor in tensors:
            limit(
                tensor.shape[-1] < _INNER,
                operator,
                f"the last dimension of {name}",
                tensor.shape[-1],
                f"below {_INNER}",
            )
    for tensor in x:
        types(operator, (*FLOATS, torch.int8), x=tensor)
        same_type(operator, x=x[0], **{"another of x": tensor})
    for tensor in weight:
        types(operator, (*FLOATS, torch.int8, torch.int32), weight=tensor)
        dimensions(operator, 2, 3, weight=tensor)
        plain = tensor.dtype not in (torch.int8, torch.int32)
        limit(not plain or tensor.dtype == x[0].dtype, operator, "weight", tensor.dtype, f"{x[0].dtype} as x")
    one_of(operator, "split_item", split_item, (0, 1, 2, 3))
    one_of(operator, "act_type", act_type, tuple(_ACTIVATIONS))


@kernel("npu_grouped_matmul", values_decide=True)
def grouped_matmul(
    x: list[Tensor],
    weight: list[Tensor],
    *,
    bias: list[Tensor] | None = None,
    scale: list[Tensor] | None = None,
    offset: list[Tensor] | None = None,
    antiquant_scale: list[Tensor] | None = None,
    antiquant_offset: list[Tensor] | None = None,
    per_token_scale: list[Tensor] | None = None,
    group_list: Tensor | list[int] | None = None,
    activation_input: list[Tensor] | None = None,
    activation_quant_scale: list[Tensor] | None = None,
    activation_quant_offset: list[Tensor] | None = None,
    split_item: int | None = 0,
    group_type: int | None = None,
    group_list_type: int | None = 0,
    act_type: int | None = 0,
    tuning_config: list[int] | None = None,
    output_dtype: int | torch.dtype | None = None,
    x_dtype: int | None = None,
    weight_dtype: int | None = None,
    scale_dtype: int | None = None,
    per_token_scale_dtype: int | None = None,
) -> list[Tensor]:
    """Each group's product: tensors of their own (split_item 0, 1), or one tensor (2, 3).

    ``group_type`` -1: one group an x; 0: rows of x; 2: columns of x, which gives [groups, M, N].
    """
    operator = "npu_grouped_matmul"
    split, activation, kind = split_item or 0, act_type or 0, group_list_type or 0
    _check_grouped(operator, x, weight, split, activation)
    for name, reserved in (
        ("offset", offset),
        ("activation_input", activation_input),
        ("activation_quant_scale", activation_quant_scale),
        ("activation_quant_offset", activation_quant_offset),
    ):
        limit(not reserved, operator, name, "given", "None: it is reserved")
    output = output_dtype if isinstance(output_dtype, torch.dtype) else type_of(operator, output_dtype, x[0].dtype)
    call = _Grouped(x, weight, bias, scale, (antiquant_scale, antiquant_offset), per_token_scale, activation, output)
    by_list = not isinstance(group_list, Tensor)
    group_type = group_type if group_type is not None else (-1 if len(x) > 1 else 0) if by_list else -1
    one_of(operator, "group_type", group_type, (-1, 0, 2))
    if group_type == 2:
        return _by_columns(call, operator, group_list, kind)
    rows = list(x)
    tokens: list[Tensor] = list(per_token_scale or ())
    if len(x) == 1 and group_list is not None:
        sizes = _group_sizes(operator, group_list, kind)
        total = sum(sizes)
        fits = total == x[0].shape[0] or (kind == 2 and total <= x[0].shape[0])
        require(fits, operator, "group_list", sizes, f"{x[0].shape[0]} rows in sum")
        rows = list(torch.split(x[0][:total], sizes))
        if per_token_scale:
            tokens = list(torch.split(per_token_scale[0][:total], sizes))
    groups = weight[0].shape[0] if len(weight) == 1 and weight[0].dim() == 3 else len(weight)
    require(len(rows) == groups, operator, "the groups of x", len(rows), f"{groups}, as weight has")
    results = [call.product(part, group, tokens[group] if tokens else None) for group, part in enumerate(rows)]
    return results if split < 2 else [torch.cat(results)]


@kernel("npu_grouped_matmul.List", values_decide=True)
def grouped_matmul_by_list(
    x: list[Tensor],
    weight: list[Tensor],
    *,
    bias: list[Tensor] | None = None,
    scale: list[Tensor] | None = None,
    offset: list[Tensor] | None = None,
    antiquant_scale: list[Tensor] | None = None,
    antiquant_offset: list[Tensor] | None = None,
    per_token_scale: list[Tensor] | None = None,
    group_list: list[int] | None = None,
    activation_input: list[Tensor] | None = None,
    activation_quant_scale: list[Tensor] | None = None,
    activation_quant_offset: list[Tensor] | None = None,
    split_item: int | None = 0,
    group_type: int | None = None,
    group_list_type: int | None = 0,
    act_type: int | None = 0,
    output_dtype: torch.dtype | None = None,
) -> list[Tensor]:
    """The same, with the groups' sums as numbers."""
    return grouped_matmul(
        x,
        weight,
        bias=bias,
        scale=scale,
        offset=offset,
        antiquant_scale=antiquant_scale,
        antiquant_offset=antiquant_offset,
        per_token_scale=per_token_scale,
        group_list=group_list,
        activation_input=activation_input,
        activation_quant_scale=activation_quant_scale,
        activation_quant_offset=activation_quant_offset,
        split_item=split_item,
        group_type=group_type,
        group_list_type=group_list_type,
        act_type=act_type,
        output_dtype=output_dtype,
    )


def _by_columns(call: _Grouped, operator: str, group_list: Tensor | list[int] | None, kind: int) -> list[Tensor]:
    """Groups of columns of x and rows of the weight: [groups, M, N], as the gradient of a weight is."""
    require(group_list is not None, operator, "group_list", None, "a list for group_type 2")
    assert group_list is not None
    sizes = _group_sizes(operator, group_list, kind)
    require(sum(sizes) == call.x[0].shape[1], operator, "group_list", sizes, f"{call.x[0].shape[1]} columns in sum")
    columns, rows = torch.split(call.x[0], sizes, 1), torch.split(call.weight[0], sizes)
    products = [wide(left) @ wide(right) for left, right in zip(columns, rows, strict=True)]
    return [torch.stack(products).to(call.output)]


def _add_shapes(self: Tensor, *_: Tensor, **__: object) -> Tensor:
    return torch.empty_like(self)


@kernel("npu_grouped_matmul_add", shapes=_add_shapes)
def grouped_matmul_add(
    self: Tensor,
    x: Tensor,
    weight: Tensor,
    group_list: Tensor,
    *,
    transpose_x: bool = True,
    transpose_weight: bool = False,
    group_type: int = 2,
    group_list_type: int | None = 0,
) -> Tensor:
    """self [groups, M, N] in float32, plus x.T @ weight of each group of rows."""
    operator = "npu_grouped_matmul_add"
    types(operator, (torch.float32,), self=self)
    types(operator, (torch.float16, torch.bfloat16), x=x, weight=weight)
    limit(transpose_x and not transpose_weight and group_type == 2, operator, "the transposes", "others", "x alone")
    sizes = _group_sizes(operator, group_list, group_list_type or 0)
    products = [wide(a).t() @ wide(b) for a, b in zip(torch.split(x, sizes), torch.split(weight, sizes), strict=True)]
    return self + torch.stack(products).view(self.shape)


@kernel("npu_grouped_matmul_add_", shapes=lambda self, *_, **__: self)
def grouped_matmul_add_(
    self: Tensor,
    x: Tensor,
    weight: Tensor,
    group_list: Tensor,
    *,
    transpose_x: bool = True,
    transpose_weight: bool = False,
    group_type: int = 2,
    group_list_type: int | None = 0,
) -> Tensor:
    """The same, in place."""
    return self.copy_(
        grouped_matmul_add(
            self,
            x,
            weight,
            group_list,
            transpose_x=transpose_x,
            transpose_weight=transpose_weight,
            group_type=group_type,
            group_list_type=group_list_type,
        )
    )
