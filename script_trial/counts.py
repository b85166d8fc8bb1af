"""What is counted of a script's operators, and whose they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

#: They allocate or carry data, and compute nothing from it.
MOVES = frozenset(
    "_to_copy _pin_memory _unsafe_view pin_memory alias arange clone copy copy_ detach_ empty empty_like "
    "empty_permuted empty_strided fill_ full full_like is_pinned lift lift_fresh lift_fresh_copy new_empty "
    "new_empty_strided new_full new_ones new_zeros ones ones_like record_stream resize_ scalar_tensor set_ to zero_ "
    "zeros zeros_like".split()
)


#: Types of most arguments of operators that are neither tensors nor hold any.
_SINGLE = frozenset((int, float, bool, type(None), str, torch.dtype, torch.device, torch.layout, torch.memory_format))


@dataclass
class Tally:
    """Operators, and the bytes of the tensors they took and gave."""

    operations: int = 0
    bytes: int = 0

    def add(self, tensors: list[Tensor]) -> None:
        self.operations += 1
        self.bytes += sum(tensor.nbytes for tensor in tensors)


@dataclass
class NetworkRecord:
    """What one network did.

    Attributes:
        named: whether an adapter has named it; others are called by their class.
        on_device: whether it held parameters on an accelerator when it was called.
        calls: how often it was called from outside.
        devices: the types of device that its inputs and results were on, single numbers left out.
        computed: by type of device, the operators that compute.
        moved: by ``"cpu->npu"`` and the like, the operators that carry data from one device to another.
        host_data: the operators among ``computed["cpu"]`` that worked on the network's weights, on its inputs or on
            what was fetched from a device, by name. The rest of them prepares tables and the like on the host.
        peak_memory: bytes that all tensors held on the accelerator at most, during its calls.
    """

    named: bool = False
    on_device: bool = False
    calls: int = 0
    devices: set[str] = field(default_factory=set)
    computed: dict[str, Tally] = field(default_factory=dict)
    moved: dict[str, Tally] = field(default_factory=dict)
    host_data: Counter[str] = field(default_factory=Counter)
    peak_memory: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "named": self.named,
            "on_device": self.on_device,
            "calls": self.calls,
            "devices": sorted(self.devices),
            "computed": {device: vars(tally) for device, tally in sorted(self.computed.items())},
            "moved": {way: vars(tally) for way, tally in sorted(self.moved.items())},
            "host_data": dict(self.host_data.most_common()),
            "peak_memory": self.peak_memory or None,
        }


class Counts:
    """All that is counted.

    Attributes:
        networks: by name.
        outside: what no network called for; `backward`: the way back, wherever it leads.
        host_work: by why it is done there, the operators that a library deliberately leaves to the host, by name.
        by_name: by type of device, how often each operator ran, whoever called for it.
    """

    def __init__(self) -> None:
        self.networks: dict[str, NetworkRecord] = {}
        self.outside, self.backward = NetworkRecord(), NetworkRecord()
        self.host_work: dict[str, Counter[str]] = {}
        self.by_name: dict[str, Counter[str]] = {}

    def clear(self) -> None:
        """Of records that somebody holds their content alone."""
        for record in (self.outside, self.backward, *self.networks.values()):
            vars(record).update(vars(NetworkRecord(record.named)))
        self.host_work.clear()
        self.by_name.clear()

    def as_json(self) -> dict[str, Any]:
        return {
            "networks": {name: record.as_json() for name, record in self.networks.items() if record.calls},
            "outside": self.outside.as_json(),
            "backward": self.backward.as_json(),
            "host_work": {why: dict(counts.most_common()) for why, counts in self.host_work.items()},
            "operators": {device: dict(counts.most_common()) for device, counts in sorted(self.by_name.items())},
        }


class OperatorCounter(Protocol):
    """Counts the operators of the threads that ask for it, into `Counts`."""

    def in_this_thread(self) -> AbstractContextManager[object]:
        """Within it this thread's operators are counted, and those of the way back that starts in it."""
        ...

    def enter(self, record: NetworkRecord, data: list[Tensor]) -> None:
        """From now on they are this network's, until `leave`; `data` is what it works on."""
        ...

    def leave(self) -> bool:
        """Whether some of its work was left to the host by design."""
        ...

    def working_on_host(self, why: str) -> AbstractContextManager[None]:
        """Within it, operators on the host are the library's own deliberate work."""
        ...

    def paused(self) -> AbstractContextManager[None]:
        """Within it nothing of this thread is counted."""
        ...

    def finish(self) -> None:
        """All that has been counted is in `Counts` afterwards."""
        ...


def tensors_in(*values: object) -> list[Tensor]:
    """The tensors among the values, and in lists and dicts among them."""
    found: list[Tensor] = []
    _add_tensors(values, found)
    return found


def _add_tensors(values: Iterable[object], found: list[Tensor]) -> None:
    for value in values:
        kind = type(value)
        if kind is Tensor or kind is nn.Parameter:
            found.append(value)  # type: ignore[arg-type]
        elif kind in _SINGLE:
            continue
        elif isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            _add_tensors(value, found)
        elif isinstance(value, dict):
            _add_tensors(value.values(), found)
