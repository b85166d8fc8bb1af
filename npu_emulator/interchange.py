"""npu tensors handed on without a copy: by DLPack within a process, by torch.multiprocessing between processes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from typing import Any

import torch
import torch.multiprocessing.reductions as reductions
from torch import Tensor
from torch.overrides import has_torch_function_unary
from torch.utils.dlpack import DLDeviceType

_SHARED_TYPES = (Tensor, torch.nn.Parameter)
_reduce_elsewhere: Any = reductions.reduce_tensor
_enable: Callable[[], object]


def install(enable: Callable[[], object]) -> None:
    """Teaches torch both; called once. A process that is handed a tensor calls `enable` first, found by its name."""
    global _enable
    _enable = enable
    Tensor.__dlpack_device__ = _with_npu(Tensor.__dlpack_device__)  # type: ignore[method-assign]
    for kind in _SHARED_TYPES:
        ForkingPickler.register(kind, _reduce)


def _with_npu(device_of: Any) -> Any:
    @functools.wraps(device_of)
    def dlpack_device(self: Tensor) -> tuple[Any, int]:
        if self.device.type == "npu" and not has_torch_function_unary(self):
            return DLDeviceType.kDLExtDev, self.device.index
        place: tuple[Any, int] = device_of(self)
        return place

    return dlpack_device


def _reduce(tensor: Tensor) -> Any:
    """How a tensor travels to another process: an npu tensor by its bytes, moved to shared memory for good."""
    if tensor.device.type != "npu" or tensor.layout != torch.strided or tensor.is_nested:
        return _reduce_elsewhere(tensor)
    if tensor.requires_grad and not tensor.is_leaf:
        raise RuntimeError(
            "a result of autograd cannot go to another process, since its graph stays here: send tensor.detach()"
        )
    plain = tensor.detach()
    operators: Any = torch.ops.npu_emulator
    host = operators.host_view(plain).untyped_storage().share_memory_()
    operators.follow_shared_host(plain)
    layout = (plain.dtype, plain.size(), plain.stride(), plain.storage_offset(), plain.device.index)
    return _rebuild, (_enable, _bytes_of(host), layout, tensor.requires_grad, isinstance(tensor, torch.nn.Parameter))


def _bytes_of(storage: torch.UntypedStorage) -> Tensor:
    return torch.empty(0, dtype=torch.uint8).set_(storage)


def _rebuild(
    enable: Callable[[], object], data: Tensor, layout: tuple[Any, ...], requires_grad: bool, is_parameter: bool
) -> Tensor:
    enable()
    dtype, size, stride, offset, device = layout
    storage = torch.ops.npu_emulator.adopt_shared(data, device).untyped_storage()
    tensor = torch.empty(0, dtype=dtype, device=f"npu:{device}").set_(storage, offset, size, stride)
    return torch.nn.Parameter(tensor, requires_grad) if is_parameter else tensor.requires_grad_(requires_grad)
