"""Which device a script really computes on: every operator, counted by device and by the network that called for it.

A dispatch mode sees the operators, also on the way back, where autograd hands the mode to its threads, and in the
threads that the script starts. Whose they are is told by the networks' calls.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

#: Besides its call, what a network that an adapter names may be called by: a VAE is.
_METHODS = ("encode", "decode")

#: Wrappers of a network are no networks: the attribute where they hold it.
_HELD_AS = ("module", "_orig_mod", "_fsdp_wrapped_module")

#: Memory is looked at after every so many operators: that costs as much as one of them.
_EVERY = 16

# They allocate or carry data, and compute nothing from it.
_MOVES = frozenset(
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


class _Call:
    """A network at work, or the way back: what is its data on the host.

    References keep a storage's address from being given to another; the set lives as long as the call.
    """

    def __init__(self, record: NetworkRecord, data: list[Tensor]) -> None:
        self.record = record
        self.data = set(_host_storages(data))
        self.left_to_host = False  # whether some of it was the library's own deliberate work there


class _Thread(threading.local):
    """What a thread is at."""

    def __init__(self) -> None:
        self.call: _Call | None = None
        self.host_work: str | None = None
        self.paused = False


class Operations:
    """Counts what is computed within `counting`.

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
        self._names: weakref.WeakKeyDictionary[nn.Module, str] = weakref.WeakKeyDictionary()
        self._holders: weakref.WeakKeyDictionary[nn.Module, bool] = weakref.WeakKeyDictionary()
        # A part that is called by itself, after the whole has been, is the whole's: `model.decode(z)`.
        self._whole: weakref.WeakKeyDictionary[nn.Module, str] = weakref.WeakKeyDictionary()
        self._thread = _Thread()
        self._way_back: tuple[int, _Call] = (-1, _Call(self.backward, []))
        self._memory_held = _memory_held()
        self.lock = threading.Lock()

    def name(self, name: str, network: nn.Module) -> None:
        """What a network and its parts are called. Its `encode` and `decode` are calls of it as well."""
        self.networks.setdefault(name, NetworkRecord()).named = True
        if self._names.get(network) == name:
            return
        for part in network.modules():
            self._names[part] = name
        self._holders.clear()
        for method in _METHODS:
            if hasattr(type(network), method):
                setattr(network, method, self._counted(network, getattr(network, method)))

    @contextlib.contextmanager
    def counting(self, operators: bool = True) -> Iterator[None]:
        """Within it all is counted, in this thread and in those that are started meanwhile.

        Without `operators` only the networks' calls are, at next to no cost: where there is only one device.
        """
        call, start = nn.Module.__call__, threading.Thread.start
        nn.Module.__call__ = self._call_of(call)  # type: ignore[method-assign]
        if operators:
            threading.Thread.start = self._start_of(start)  # type: ignore[method-assign]
        try:
            with _Counting(self) if operators else contextlib.nullcontext():
                yield
        finally:
            nn.Module.__call__, threading.Thread.start = call, start  # type: ignore[method-assign]

    @contextlib.contextmanager
    def working_on_host(self, why: str) -> Iterator[None]:
        before, self._thread.host_work = self._thread.host_work, why
        try:
            yield
        finally:
            self._thread.host_work = before

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Within it nothing of this thread is counted."""
        before, self._thread.paused = self._thread.paused, True
        try:
            yield
        finally:
            self._thread.paused = before

    def as_json(self) -> dict[str, Any]:
        return {
            "networks": {name: record.as_json() for name, record in self.networks.items() if record.calls},
            "outside": self.outside.as_json(),
            "backward": self.backward.as_json(),
            "host_work": {why: dict(counts.most_common()) for why, counts in self.host_work.items()},
            "operators": {device: dict(counts.most_common()) for device, counts in sorted(self.by_name.items())},
        }

    def _call_of(self, call: Any) -> Any:
        """`nn.Module.__call__`, which tells whose the operators are."""

        @functools.wraps(call)
        def counted(network: nn.Module, *args: Any, **kwargs: Any) -> Any:
            at = self._thread.call
            if at is not None and (at.record.named or network not in self._names):
                return call(network, *args, **kwargs)
            return self._at_work(network, functools.partial(call, network), args, kwargs)

        return counted

    def _counted(self, network: nn.Module, method: Any) -> Any:
        @functools.wraps(method)
        def counted(*args: Any, **kwargs: Any) -> Any:
            return self._at_work(network, method, args, kwargs)

        return counted

    def _at_work(self, network: nn.Module, method: Any, args: Any, kwargs: Any) -> Any:
        """Calls a method of a network, whose the operators are meanwhile."""
        before = self._thread.call
        record = self._record_of(network)
        if record is None or (before is not None and before.record is record):
            return method(*args, **kwargs)
        record.calls += torch._C._current_graph_task_id() == -1  # what is computed again on the way back is no call
        inputs, parameters = _tensors(args, kwargs), list(network.parameters())
        record.on_device = record.on_device or any(one.device.type not in ("cpu", "meta") for one in parameters)
        self._thread.call = call = _Call(record, [*inputs, *parameters])
        try:
            result = method(*args, **kwargs)
        finally:
            self._thread.call = before
            record.peak_memory = max(record.peak_memory, self._memory_held())
        given = [one for one in _tensors(result) if not (call.left_to_host and one.device.type == "cpu")]
        record.devices |= {tensor.device.type for tensor in [*inputs, *given] if tensor.numel() > 1}
        return result

    def _record_of(self, network: nn.Module) -> NetworkRecord | None:
        """None for what is no network: it holds no parameters, or it is made of networks that are named."""
        for attribute in _HELD_AS:
            inner = vars(network).get("_modules", {}).get(attribute)
            if inner is not None:
                return self._record_of(inner)
        name = self._names.get(network)
        if name is None:
            if network not in self._holders:
                named = any(part in self._names for part in network.modules())
                self._holders[network] = named or next(network.parameters(), None) is None
            if self._holders[network]:
                return None
            name = self._whole.get(network, type(network).__name__)
            if network not in self._whole:
                for part in network.modules():
                    self._whole.setdefault(part, name)
        return self.networks.setdefault(name, NetworkRecord())

    def _start_of(self, start: Any) -> Any:
        """`threading.Thread.start`, so that what the thread computes is counted too."""

        @functools.wraps(start)
        def started(thread: threading.Thread) -> None:
            run = thread.run

            def counted() -> None:
                del thread.run
                with _Counting(self):
                    run()

            thread.run = counted  # type: ignore[method-assign]
            start(thread)

        return started

    def count(self, operator: _Operator, taken: list[Tensor], given: list[Tensor]) -> None:
        """An operator that has run."""
        thread = self._thread
        if thread.paused:
            return
        call = thread.call or self._way_back_now()
        record = self.outside if call is None else call.record
        if operator.moves:
            _count_move(record, call, operator.changes, taken, given)
            return
        device = _device_of(taken, given)
        if device is None:
            return
        name = operator.name
        if device == "cpu" and thread.host_work is not None:
            self.host_work.setdefault(thread.host_work, Counter())[name] += 1
            if call is not None:
                call.left_to_host = True
            return
        counts, tally = self.by_name.get(device), record.computed.get(device)
        if counts is None:
            counts = self.by_name[device] = Counter()
        if tally is None:
            tally = record.computed[device] = Tally()
        counts[name] += 1
        tally.operations += 1
        for tensor in (*taken, *given):
            tally.bytes += tensor.nbytes
        if device != "cpu":
            if not tally.operations % _EVERY:
                record.peak_memory = max(record.peak_memory, self._memory_held())
        elif call is not None and any(storage in call.data for storage in _host_storages(taken)):
            record.host_data[name] += 1
            call.data.update(_host_storages(given))

    def _way_back_now(self) -> _Call | None:
        """Where this thread is on a way back."""
        graph = torch._C._current_graph_task_id()
        if graph == -1:
            return None
        if self._way_back[0] != graph:
            self._way_back = (graph, _Call(self.backward, []))
        return self._way_back[1]


class _Operator:
    """What there is to know about an operator before it is counted."""

    def __init__(self, func: Any) -> None:
        self.func = func  # or its id could become another one's
        packet = func.overloadpacket.__name__
        self.name = f"{func.namespace}.{packet}"
        self.moves = packet in _MOVES
        self.changes: bool = func._schema.is_mutable
        self.is_view: bool = func.is_view


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Tells of each operator of a thread."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # where a mode is on, nothing is compiled; to keep Dynamo out of here costs more than all the rest

    def __init__(self, operations: Operations) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._operations = operations
        self._known: dict[int, _Operator] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for one in types:
            if one.__torch_dispatch__ is not Tensor.__torch_dispatch__:
                return NotImplemented  # a subclass, which says itself what it computes
        result = func(*args, **kwargs) if kwargs else func(*args)
        operator = self._known.get(id(func))  # the hash of an operator is computed in Python
        if operator is None:
            operator = self._known[id(func)] = _Operator(func)
        if not operator.is_view:
            taken = _tensors(args, kwargs) if kwargs else _tensors(args)
            given = [result] if type(result) is Tensor else _tensors(result)
            with self._operations.lock:
                self._operations.count(operator, taken, given)
        return result


def _device_of(taken: list[Tensor], given: list[Tensor]) -> str | None:
    """The type of device that an operator ran on: the accelerator if one of its tensors is there; None for none."""
    found = None
    for tensor in (*given, *taken):
        kind = tensor.device.type
        if kind == "cpu":
            found = kind
        elif kind != "meta":
            return kind
    return found


def _count_move(
    record: NetworkRecord, call: _Call | None, changes: bool, taken: list[Tensor], given: list[Tensor]
) -> None:
    target = taken[0] if changes and taken else given[0] if given else None
    sources = [tensor for tensor in taken if tensor is not target]
    if target is None or not sources:
        return
    source = sources[-1]
    before, after = source.device.type, target.device.type
    if before != after and "meta" not in (before, after):
        record.moved.setdefault(f"{before}->{after}", Tally()).add([target])
    if call is None or after != "cpu":
        return
    if before != "cpu" or any(storage in call.data for storage in _host_storages([source])):
        call.data.update(_host_storages([target]))


def _memory_held() -> Any:
    """A function for the bytes that tensors hold on the accelerator."""
    npu: Any = getattr(torch, "npu", None)
    if npu is None or not npu.is_available():
        return lambda: 0
    return npu.memory_allocated


def _tensors(*values: object) -> list[Tensor]:
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


def _host_storages(tensors: list[Tensor]) -> Iterator[StorageWeakRef]:
    """Of the tensors on the host that hold more than a single number."""
    for tensor in tensors:
        if tensor.device.type == "cpu" and tensor.layout == torch.strided and tensor.numel() > 1:
            yield StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
