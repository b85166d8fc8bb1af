"""Which device a script really computes on: every operator, counted by device and by the network that called for it.

Operators are seen also on the way back, and in the threads that the script starts. Whose they are is told by the
networks' calls.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from script_trial.counts import Counts, NetworkRecord, OperatorCounter, tensors_in
from script_trial.dispatch_mode import ModeCounter
from script_trial.emulator_counter import EmulatorCounter, backend

#: Bytes, of what torch's allocator for the host gives.
_ALIGNMENT = 64

#: Besides its call, what a network that an adapter names may be called by: a VAE is.
_METHODS = ("encode", "decode")

#: Wrappers of a network are no networks: the attribute where they hold it.
_HELD_AS = ("module", "_orig_mod", "_fsdp_wrapped_module")


@dataclass
class _Work:
    """What came of a call besides its result."""

    left_to_host: bool = False


class _Calls:
    """Whoever hears of calls of modules, in this process."""

    heard_by: Operations | None = None


def hear_calls() -> None:
    """Stands in for `nn.Module.__call__` from now on, if it does not yet.

    All classes of modules are told when that one changes, thousands where libraries have been imported: a process that
    forks others does it for them.
    """
    call: Any = nn.Module.__call__
    if getattr(call, "tells", None) is _Calls:
        return

    @functools.wraps(call)
    def told(network: nn.Module, *args: Any, **kwargs: Any) -> Any:
        heard_by = _Calls.heard_by
        return call(network, *args, **kwargs) if heard_by is None else heard_by.called(call, network, args, kwargs)

    told.tells = _Calls  # type: ignore[attr-defined]
    nn.Module.__call__ = told  # type: ignore[method-assign]


class Operations:
    """Counts what is computed within `counting`."""

    def __init__(self) -> None:
        self.counts = Counts()
        self._names: weakref.WeakKeyDictionary[nn.Module, str] = weakref.WeakKeyDictionary()
        self._holders: weakref.WeakKeyDictionary[nn.Module, bool] = weakref.WeakKeyDictionary()
        # A part that is called by itself, after the whole has been, is the whole's: `model.decode(z)`.
        self._whole: weakref.WeakKeyDictionary[nn.Module, str] = weakref.WeakKeyDictionary()
        self._aligned: weakref.WeakSet[nn.Module] = weakref.WeakSet()
        self._at_work_now = threading.local()
        self._memory_held = _memory_held()
        self._counter = _counter(self.counts, self._memory_held)
        self._counts_operators = False

    def name(self, name: str, network: nn.Module) -> None:
        """What a network and its parts are called. Its `encode` and `decode` are calls of it as well."""
        self.counts.networks.setdefault(name, NetworkRecord()).named = True
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
        start, before = threading.Thread.start, _Calls.heard_by
        hear_calls()
        _Calls.heard_by = self
        if operators:
            threading.Thread.start = self._start_of(start)  # type: ignore[method-assign]
        self._counts_operators = operators
        try:
            with self._counter.in_this_thread() if operators else contextlib.nullcontext():
                yield
        finally:
            threading.Thread.start, _Calls.heard_by = start, before  # type: ignore[method-assign]
            self.finish()

    def finish(self) -> None:
        """All that has been counted is in `counts` afterwards."""
        self._counter.finish()

    def begin_anew(self) -> None:
        """Forgets what has been counted so far."""
        self.finish()
        self.counts.clear()

    def working_on_host(self, why: str) -> contextlib.AbstractContextManager[None]:
        return self._counter.working_on_host(why)

    def paused(self) -> contextlib.AbstractContextManager[None]:
        """Within it nothing of this thread is counted."""
        return self._counter.paused()

    def as_json(self) -> dict[str, Any]:
        return self.counts.as_json()

    def called(self, call: Any, network: nn.Module, args: Any, kwargs: Any) -> Any:
        """`nn.Module.__call__`, which tells whose the operators are."""
        at = getattr(self._at_work_now, "record", None)
        if at is not None and (at.named or network not in self._names):
            return call(network, *args, **kwargs)
        return self._at_work(network, functools.partial(call, network), args, kwargs)

    def _counted(self, network: nn.Module, method: Any) -> Any:
        @functools.wraps(method)
        def counted(*args: Any, **kwargs: Any) -> Any:
            return self._at_work(network, method, args, kwargs)

        return counted

    def _at_work(self, network: nn.Module, method: Any, args: Any, kwargs: Any) -> Any:
        """Calls a method of a network, whose the operators are meanwhile."""
        before = getattr(self._at_work_now, "record", None)
        record = self._record_of(network)
        if record is None or before is record:
            return method(*args, **kwargs)
        if network not in self._aligned:
            self._aligned.add(network)
            _align(network)
        record.calls += torch._C._current_graph_task_id() == -1  # what is computed again on the way back is no call
        inputs = tensors_in(args, kwargs)
        self._at_work_now.record = record
        try:
            with self._counted_for(record, network, inputs) as work:
                result = method(*args, **kwargs)
        finally:
            self._at_work_now.record = before
        given = [one for one in tensors_in(result) if not (work.left_to_host and one.device.type == "cpu")]
        record.devices |= {tensor.device.type for tensor in [*inputs, *given] if tensor.numel() > 1}
        return result

    @contextlib.contextmanager
    def _counted_for(self, record: NetworkRecord, network: nn.Module, inputs: list[Tensor]) -> Iterator[_Work]:
        """Within it operators are the network's. Where none are counted, it has nothing to do."""
        work = _Work()
        if not self._counts_operators:
            yield work
            return
        parameters = list(network.parameters())
        record.on_device = record.on_device or any(one.device.type not in ("cpu", "meta") for one in parameters)
        self._counter.enter(record, [*inputs, *parameters])
        try:
            yield work
        finally:
            work.left_to_host = self._counter.leave()
            record.peak_memory = max(record.peak_memory, self._memory_held())

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
        return self.counts.networks.setdefault(name, NetworkRecord())

    def _start_of(self, start: Any) -> Any:
        """`threading.Thread.start`, so that what the thread computes is counted too."""

        @functools.wraps(start)
        def started(thread: threading.Thread) -> None:
            run = thread.run

            def counted() -> None:
                del thread.run
                with self._counter.in_this_thread():
                    run()

            thread.run = counted  # type: ignore[method-assign]
            start(thread)

        return started


def _align(network: nn.Module) -> None:
    """Weights that lie in a file's own bytes, as safetensors reads them, go to where torch would put them.

    A product of matrices is rounded otherwise where they are not aligned, which on another device they are.
    """
    for tensor in (*network.parameters(), *network.buffers()):
        if type(tensor) not in (Tensor, nn.Parameter) or tensor.device.type != "cpu" or tensor.layout != torch.strided:
            continue
        storage = tensor.untyped_storage()
        if storage.data_ptr() % _ALIGNMENT and storage.nbytes() == tensor.nbytes:
            tensor.data = tensor.data.clone()


def _memory_held() -> Any:
    """A function for the bytes that tensors hold on the accelerator."""
    npu: Any = getattr(torch, "npu", None)
    if npu is None or not npu.is_available():
        return lambda: 0
    return npu.memory_allocated


def _counter(counts: Counts, memory_held: Callable[[], int]) -> OperatorCounter:
    emulator = backend()
    return ModeCounter(counts, memory_held) if emulator is None else EmulatorCounter(counts, emulator)
