"""``torch.npu.FloatTensor`` and ``torch.npu.FloatStorage`` and their kin."""

from __future__ import annotations

from typing import Any

import torch

_TYPES = {
    "BFloat16": torch.bfloat16,
    "Bool": torch.bool,
    "Byte": torch.uint8,
    "Char": torch.int8,
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "Int": torch.int32,
    "Long": torch.int64,
    "Short": torch.int16,
}


class _TensorType(type):
    """A constructor of npu tensors of one dtype that also answers isinstance."""

    dtype: torch.dtype

    def __call__(cls, *args: Any, device: Any = "npu") -> torch.Tensor:
        if len(args) == 1 and not isinstance(args[0], (int, torch.Size)):
            return torch.as_tensor(args[0], dtype=cls.dtype).to(device)
        size = args[0] if len(args) == 1 and isinstance(args[0], torch.Size) else args or (0,)
        return torch.empty(size, dtype=cls.dtype, device=device)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, torch.Tensor) and instance.is_npu and instance.dtype == cls.dtype  # type: ignore[attr-defined]


class _StorageType(type):
    """A constructor of npu storages of one dtype that also answers isinstance."""

    dtype: torch.dtype

    def __call__(cls, *args: Any) -> torch.TypedStorage:
        make_storage: Any = torch.TypedStorage
        return make_storage(*args, dtype=cls.dtype, device="npu")  # type: ignore[no-any-return]

    def __instancecheck__(cls, instance: object) -> bool:
        return (
            isinstance(instance, torch.TypedStorage) and instance.device.type == "npu" and instance.dtype == cls.dtype
        )


def legacy_types() -> dict[str, type]:
    """All of them, by name."""
    made: dict[str, type] = {}
    for name, dtype in _TYPES.items():
        body = {"dtype": dtype, "__module__": "torch.npu"}
        made[f"{name}Tensor"] = _TensorType(f"{name}Tensor", (), dict(body))
        made[f"{name}Storage"] = _StorageType(f"{name}Storage", (), dict(body))
    return made
