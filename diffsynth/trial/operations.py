"""Which device a pipeline's networks really compute on: every operator inside their calls, counted by device."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

# What a network does is done in one of these; a VAE is called by the last two.
METHODS = ("forward", "encode", "decode")

# They allocate or carry data, and compute nothing from it.
_MOVES = frozenset(
    "_to_copy _pin_memory _unsafe_view pin_memory alias arange clone copy copy_ detach_ empty empty_like "
    "empty_permuted empty_strided fill_ full full_like is_pinned lift lift_fresh lift_fresh_copy new_empty "
    "new_empty_strided new_full new_ones new_zeros ones ones_like record_stream resize_ scalar_tensor set_ to zero_ "
    "zeros zeros_like".split()
)


@dataclass
class Tally:
    """Operators, and the bytes of the tensors they took and gave."""

    operations: int = 0
    bytes: int = 0

    def add(self, tensors: list[Tensor]) -> None:
        self.operations += 1
        self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@dataclass
class NetworkRecord:
    """What one network did.

    Attributes:
        calls: how often it was called from outside.
        devices: the types of device that its inputs and results were on, single numbers left out.
        computed: by type of device, the operators that compute.
        moved: by ``"cpu->npu"`` and the like, the operators that carry data from one device to another.
        host_data: the operators among ``computed["cpu"]`` that worked on the network's weights, on its inputs or on
            what was fetched from a device, by name. The rest of them prepares tables and the like on the host.
    """

    calls: int = 0
    devices: set[str] = field(default_factory=set)
    computed: dict[str, Tally] = field(default_factory=dict)
    moved: dict[str, Tally] = field(default_factory=dict)
    host_data: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "calls": self.calls,
            "devices": sorted(self.devices),
            "computed": {device: vars(tally) for device, tally in sorted(self.computed.items())},
            "moved": {way: vars(tally) for way, tally in sorted(self.moved.items())},
            "host_data": dict(sorted(self.host_data.items(), key=lambda item: -item[1])),
        }


class Operations:
    """Counts what the networks of a pipeline do, from `watch` on."""

    def __init__(self) -> None:
        self.networks: dict[str, NetworkRecord] = {}
        self._busy = False

    def watch(self, networks: dict[str, nn.Module]) -> None:
        """Counts whatever these networks compute, by name. One that is watched already stays so."""
        for name, network in networks.items():
            if name in self.networks:
                continue
            self.networks[name] = NetworkRecord()
            for method in METHODS:
                if _implements(network, method):
                    setattr(network, method, self._counted(name, network, getattr(network, method)))

    def _counted(self, name: str, network: nn.Module, method: Any) -> Any:
        @functools.wraps(method)
        def counted(*args: Any, **kwargs: Any) -> Any:
            if self._busy:  # called by a method that is counted
                return method(*args, **kwargs)
            record = self.networks[name]
            record.calls += 1
            inputs = _tensors(args, kwargs)
            self._busy = True
            try:
                with _Counting(record, [*inputs, *network.parameters()]):
                    result = method(*args, **kwargs)
            finally:
                self._busy = False
            record.devices |= {tensor.device.type for tensor in [*inputs, *_tensors(result)] if tensor.numel() > 1}
            return result

        return counted


def networks_of(pipe: object) -> dict[str, nn.Module]:
    """The networks of a pipeline by the names of its attributes."""
    held = {**vars(pipe), **vars(pipe).get("_modules", {})}
    return {name: value for name, value in held.items() if isinstance(value, nn.Module)}


def _implements(network: nn.Module, method: str) -> bool:
    return getattr(type(network), method, nn.Module.forward) is not nn.Module.forward


class _Counting(TorchDispatchMode):
    """Counts one call of a network, and follows on the host what comes from its data."""

    def __init__(self, record: NetworkRecord, data: list[Tensor]) -> None:
        super().__init__()
        self.record = record
        # References keep a storage's address from being given to another; the set lives as long as the call.
        self.data = set(_host_storages(data))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        taken = _tensors(args, kwargs)
        result = func(*args, **kwargs)
        if not func.is_view:
            self._count(func, taken, _tensors(result))
        return result

    def _count(self, func: Any, taken: list[Tensor], given: list[Tensor]) -> None:
        devices = {tensor.device.type for tensor in [*taken, *given]} - {"meta"}
        if not devices:
            return
        name = func.overloadpacket.__name__
        if name in _MOVES:
            self._count_move(func, taken, given, devices)
            return
        device = next(iter(devices - {"cpu"}), "cpu")
        self.record.computed.setdefault(device, Tally()).add([*taken, *given])
        if device != "cpu":
            self.data.update(_host_storages(given))
        elif any(storage in self.data for storage in _host_storages(taken)):
            self.record.host_data[f"aten.{name}"] = self.record.host_data.get(f"aten.{name}", 0) + 1
            self.data.update(_host_storages(given))

    def _count_move(self, func: Any, taken: list[Tensor], given: list[Tensor], devices: set[str]) -> None:
        target = taken[0] if func._schema.is_mutable and taken else given[0] if given else None
        sources = [tensor for tensor in taken if tensor is not target]
        if target is None or not sources:
            return
        source = sources[-1]
        if source.device.type != target.device.type and "meta" not in (source.device.type, target.device.type):
            way = f"{source.device.type}->{target.device.type}"
            self.record.moved.setdefault(way, Tally()).add([target])
        if source.device.type != "cpu" or any(storage in self.data for storage in _host_storages([source])):
            self.data.update(_host_storages([target]))


def _tensors(*values: object) -> list[Tensor]:
    """The tensors among the values, and in lists and dicts among them."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += _tensors(*value)
        elif isinstance(value, dict):
            found += _tensors(*value.values())
    return found


def _host_storages(tensors: list[Tensor]) -> Iterator[StorageWeakRef]:
    """Of the tensors on the host that hold more than a single number."""
    for tensor in tensors:
        if tensor.device.type == "cpu" and tensor.layout == torch.strided and tensor.numel() > 1:
            yield StorageWeakRef(tensor.untyped_storage())
