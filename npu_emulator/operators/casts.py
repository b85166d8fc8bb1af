"""Changes of type, and of the memory format, of which host memory has one."""

from __future__ import annotations

import torch
from torch import Tensor

from npu_emulator.operators.limits import limit, newest_line, one_of, refuse
from npu_emulator.operators.registry import derivative, kernel

# The numbers that an operator's ``int dtype`` may hold: c10::ScalarType's, and torch_npu's own for the same types.
TYPES = {
    0: torch.uint8,
    1: torch.int8,
    2: torch.int16,
    3: torch.int32,
    4: torch.int64,
    5: torch.float16,
    6: torch.float32,
    7: torch.float64,
    11: torch.bool,
    12: torch.qint8,
    13: torch.quint8,
    14: torch.qint32,
    15: torch.bfloat16,
    16: torch.quint4x2,
    23: torch.float8_e5m2,
    24: torch.float8_e4m3fn,
    291: torch.float8_e5m2,
    292: torch.float8_e4m3fn,
}
# The names of torch_npu's own numbers; most are of types that torch has not.
OWN_TYPES = {
    285: "int4",
    290: "hifloat8",
    291: "float8_e5m2",
    292: "float8_e4m3fn",
    293: "float8_e8m0fnu",
    296: "float4_e2m1fn_x2",
    297: "float4_e1m2fn_x2",
}
# Only Ascend 950 casts to these (the definition of aclnnCast).
FLOAT8 = (torch.float8_e5m2, torch.float8_e4m3fn)
# NCHW, NHWC, ND, NC1HWC0, FRACTAL_Z, NHWC1C0, FRACTAL_NZ, NCDHW, NDC1HWC0, FRACTAL_Z_3D and others.
FORMATS = (-1, 0, 1, 2, 3, 4, 12, 16, 17, 27, 29, 30, 32, 33, 35, 47)
ND = 2


def type_of(operator: str, number: int | None, default: torch.dtype) -> torch.dtype:
    """The type of an ``int? dtype`` argument."""
    if number is None:
        return default
    if number in OWN_TYPES and number not in TYPES:
        refuse(operator, "dtype", OWN_TYPES[number], "a type that torch has on this hardware")
    one_of(operator, "dtype", number, tuple(TYPES))
    dtype = TYPES[number]
    limit(dtype not in FLOAT8 or newest_line(), operator, "dtype", dtype, "a type of this hardware")
    return dtype


@kernel("npu_dtype_cast")
def dtype_cast(self: Tensor, dtype: int, input_dtype: int | None = None) -> Tensor:
    """The tensor in another type."""
    return self.to(type_of("npu_dtype_cast", dtype, self.dtype), copy=True)


@kernel("npu_dtype_cast_backward")
def dtype_cast_backward(
    grad: Tensor, dtype: torch.dtype, grad_dtype: int | None = None, input_dtype: int | None = None
) -> Tensor:
    """The gradient in the type of the input."""
    return grad.to(dtype, copy=True)


@derivative("npu_dtype_cast", "_npu_dtype_cast", of="self")
def _dtype_cast(grad: Tensor, self: Tensor) -> Tensor:
    gradient: Tensor = torch.ops.npu.npu_dtype_cast_backward(grad, self.dtype)
    return gradient


@kernel("_npu_dtype_cast")
def dtype_cast_by_type(self: Tensor, dtype: torch.dtype) -> Tensor:
    """The tensor in another type."""
    return self.to(dtype, copy=True)


@kernel("_npu_dtype_cast_backward")
def dtype_cast_by_type_backward(grad: Tensor, dtype: torch.dtype) -> Tensor:
    """The gradient in the type of the input."""
    return grad.to(dtype, copy=True)


@kernel("npu_dtype_cast_")
def dtype_cast_(self: Tensor, src: Tensor) -> Tensor:
    """Copies src into self, in the type of self."""
    return self.copy_(src)


def _check_format(acl_format: int) -> None:
    one_of("npu_format_cast", "acl_format", acl_format, FORMATS)


@kernel("npu_format_cast", shapes=lambda self, acl_format, **_: torch.empty_like(self))
def format_cast(
    self: Tensor, acl_format: int, *, customize_dtype: int | None = None, input_dtype: int | None = None
) -> Tensor:
    """The tensor itself."""
    _check_format(acl_format)
    return self


@kernel("npu_format_cast.Tensor", shapes=lambda self, dst, **_: torch.empty_like(self))
def format_cast_as(
    self: Tensor, dst: Tensor, *, customize_dtype: int | None = None, input_dtype: int | None = None
) -> Tensor:
    """The tensor itself."""
    return self


@kernel("_npu_format_cast")
def format_cast_copy(self: Tensor, acl_format: int) -> Tensor:
    """A copy."""
    _check_format(acl_format)
    return self.clone()


@kernel("_npu_format_cast.aclnn")
def format_cast_copy_of(self: Tensor, acl_format: int, customize_dtype: int) -> Tensor:
    """A copy."""
    return format_cast_copy(self, acl_format)


@kernel("_npu_format_cast.input_dtype")
def format_cast_copy_as(self: Tensor, acl_format: int, customize_dtype: int, input_dtype: int) -> Tensor:
    """A copy."""
    return format_cast_copy(self, acl_format)


@derivative("npu_format_cast", "npu_format_cast.Tensor", "_npu_format_cast", of="self")
def _same_gradient(grad: Tensor) -> Tensor:
    return grad


@kernel("npu_format_cast_")
def format_cast_(
    self: Tensor, src: Tensor, *, customize_dtype: int | None = None, input_dtype: int | None = None
) -> Tensor:
    """The tensor itself."""
    return self


@kernel("npu_format_cast_.acl_format")
def format_cast_to_(
    self: Tensor, acl_format: int, *, customize_dtype: int | None = None, input_dtype: int | None = None
) -> Tensor:
    """The tensor itself."""
    _check_format(acl_format)
    return self
