"""From what a CUDA program writes for a device to the accelerator's, by one lookup in a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from npu_compat.accelerators import Accelerator

MAX_DEVICES = 64
# The element types of CUDA's legacy tensor types.
LEGACY_TYPES = {
    "BFloat16Tensor": torch.bfloat16,
    "BoolTensor": torch.bool,
    "ByteTensor": torch.uint8,
    "CharTensor": torch.int8,
    "DoubleTensor": torch.float64,
    "FloatTensor": torch.float32,
    "HalfTensor": torch.float16,
    "IntTensor": torch.int32,
    "LongTensor": torch.int64,
    "ShortTensor": torch.int16,
}


class Translation:
    """Tables of exact matches; whatever is not in them is left as it is.

    Attributes:
        devices: ``"cuda"``, ``"cuda:0"``, ``torch.device("cuda", 0)`` ... and the accelerator's devices.
        types: ``"cuda"`` and the accelerator's device type.
        legacy_types: ``"torch.cuda.FloatTensor"``, the type itself ... and their element types.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.default = torch.device(accelerator.name)
        self.devices: dict[Any, torch.device] = {}
        self.types: dict[str, str] = {}
        self.legacy_types: dict[Any, torch.dtype] = {}

    def fill(self) -> None:
        """Makes the tables; from then on translation happens."""
        self.types["cuda"] = self.accelerator.name
        self._add_devices("cuda", torch.device("cuda"), self.default)
        for index in range(MAX_DEVICES):
            host = self.accelerator.name == "cpu"
            device = self.default if host else torch.device(self.accelerator.name, index)
            self._add_devices(f"cuda:{index}", torch.device("cuda", index), device)
            if host:  # elsewhere torch itself takes an int for the current accelerator
                self._add_devices(index, index, device)
        for name, dtype in LEGACY_TYPES.items():
            self.legacy_types[f"torch.cuda.{name}"] = dtype
            for module in (torch.cuda, getattr(torch, self.accelerator.module, None)):
                if hasattr(module, name):
                    self.legacy_types[getattr(module, name)] = dtype

    def _add_devices(self, spelling: Any, cuda: Any, device: torch.device) -> None:
        self.devices[spelling] = self.devices[cuda] = device

    def clear(self) -> None:
        """Empties the tables: a wrapper that someone still holds passes everything on as it is."""
        self.types.clear()
        self.devices.clear()
        self.legacy_types.clear()

    def device(self, value: Any) -> Any:
        """A device in any of its spellings."""
        try:
            return self.devices.get(value, value)
        except TypeError:  # unhashable, so no spelling of a device; torch says what it thinks of it
            return value

    def device_list(self, value: Any) -> Any:
        """A list or tuple of devices, never changed itself."""
        return type(value)(map(self.device, value)) if type(value) in (list, tuple) else self.device(value)

    def module_devices(self, value: Any) -> Any:
        """The devices of a module that DistributedDataParallel trains: for one on the CPU, it wants none named."""
        if self.types and self.accelerator.name == "cpu":
            return None
        return self.device_list(value)

    def device_map(self, value: Any) -> Any:
        """A dict from names to dicts of devices, as torch.distributed.rpc has them."""
        if not isinstance(value, Mapping):
            return value
        return {worker: {self.device(a): self.device(b) for a, b in m.items()} for worker, m in value.items()}

    def device_type(self, value: Any) -> Any:
        """A device type, which is a string without an index."""
        try:
            return self.types.get(value, value)
        except TypeError:  # unhashable, so no device type; torch says what it thinks of it
            return value

    def device_name(self, value: Any) -> Any:
        """A device that torch wants as a string."""
        found = self.device(value)
        return str(found) if found is not value else value

    def backend(self, value: Any) -> Any:
        """A torch.distributed backend: ``"nccl"``, ``"cuda:nccl"``, ``"cpu:gloo,cuda:nccl"``."""
        if not self.types or not isinstance(value, str):
            return value
        if not {"nccl", "cuda"} & set(value.lower().replace(":", ",").split(",")):
            return value
        parts = [self._backend_part(part) for part in value.lower().split(",")]
        return ",".join(dict.fromkeys(parts))

    def _backend_part(self, part: str) -> str:
        device, colon, backend = part.rpartition(":")
        own = self.accelerator.backend or "gloo"
        return f"{self.device_type(device)}{colon}" + (own if backend == "nccl" else backend)

    def map_location(self, value: Any) -> Any:
        """What torch.load takes: a device, a dict of location tags, or a function, which is left alone."""
        if not isinstance(value, dict):
            return self.device(value) if not callable(value) else value
        translated = {tag: self.device_name(target) for tag, target in value.items()}
        return {self.device_name(tag): target for tag, target in translated.items()} | translated

    def activities(self, value: Any) -> Any:
        """Profiler activities: CUDA becomes the accelerator's own."""
        activity = torch.profiler.ProfilerActivity
        # A vendor's package may not have named its activity: PrivateUse1 is what the name stands for.
        unnamed = activity.CPU if self.accelerator.profiler_activity in (None, "CPU") else activity.PrivateUse1
        own = getattr(activity, self.accelerator.profiler_activity or "CPU", unnamed)
        if value is None or not self.types or activity.CUDA not in value:
            return value
        return [own if asked == activity.CUDA else asked for asked in value]

    def by_kind(self, kind: str) -> Callable[[Any], Any]:
        """The method of that name, as the surface table names the kinds of parameters."""
        method: Callable[[Any], Any] = getattr(self, kind)
        return method
