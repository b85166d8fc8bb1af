"""Counts operators in a dispatch mode: on whatever device, at the cost of one of a small network's.

The mode sees the operators also on the way back, where autograd hands it to its threads.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from script_trial.counts import MOVES, Counts, NetworkRecord, Tally, tensors_in

#: Memory is looked at after every so many operators: that costs as much as one of them.
_EVERY = 16


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
        self.calls: list[_Call] = []
        self.host_work: str | None = None
        self.paused = False


class ModeCounter:
    """An `OperatorCounter` for any device; `memory_held` tells the bytes that tensors hold on it."""

    def __init__(self, counts: Counts, memory_held: Callable[[], int]) -> None:
        self._counts = counts
        self._thread = _Thread()
        self._way_back: tuple[int, _Call] = (-1, _Call(counts.backward, []))
        self._memory_held = memory_held
        self.lock = threading.Lock()

    def in_this_thread(self) -> contextlib.AbstractContextManager[object]:
        return _Counting(self)

    def enter(self, record: NetworkRecord, data: list[Tensor]) -> None:
        self._thread.calls.append(_Call(record, data))

    def leave(self) -> bool:
        return self._thread.calls.pop().left_to_host

    @contextlib.contextmanager
    def working_on_host(self, why: str) -> Iterator[None]:
        before, self._thread.host_work = self._thread.host_work, why
        try:
            yield
        finally:
            self._thread.host_work = before

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        before, self._thread.paused = self._thread.paused, True
        try:
            yield
        finally:
            self._thread.paused = before

    def finish(self) -> None:
        pass

    def count(self, operator: _Operator, taken: list[Tensor], given: list[Tensor]) -> None:
        """An operator that has run."""
        thread = self._thread
        if thread.paused:
            return
        call = thread.calls[-1] if thread.calls else self._way_back_now()
        record = self._counts.outside if call is None else call.record
        if operator.moves:
            _count_move(record, call, operator.changes, taken, given)
            return
        device = _device_of(taken, given)
        if device is None:
            return
        name = operator.name
        if device == "cpu" and thread.host_work is not None:
            self._counts.host_work.setdefault(thread.host_work, Counter())[name] += 1
            if call is not None:
                call.left_to_host = True
            return
        counts, tally = self._counts.by_name.get(device), record.computed.get(device)
        if counts is None:
            counts = self._counts.by_name[device] = Counter()
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
            self._way_back = (graph, _Call(self._counts.backward, []))
        return self._way_back[1]


class _Operator:
    """What there is to know about an operator before it is counted."""

    def __init__(self, func: Any) -> None:
        self.func = func  # or its id could become another one's
        packet = func.overloadpacket.__name__
        self.name = f"{func.namespace}.{packet}"
        self.moves = packet in MOVES
        self.changes: bool = func._schema.is_mutable
        self.is_view: bool = func.is_view


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Tells of each operator of a thread."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # where a mode is on, nothing is compiled; to keep Dynamo out of here costs more than all the rest

    def __init__(self, counter: ModeCounter) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._counter = counter
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
            taken = tensors_in(args, kwargs) if kwargs else tensors_in(args)
            given = [result] if type(result) is Tensor else tensors_in(result)
            with self._counter.lock:
                self._counter.count(operator, taken, given)
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


def _host_storages(tensors: list[Tensor]) -> Iterator[StorageWeakRef]:
    """Of the tensors on the host that hold more than a single number."""
    for tensor in tensors:
        if tensor.device.type == "cpu" and tensor.layout == torch.strided and tensor.numel() > 1:
            yield StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
