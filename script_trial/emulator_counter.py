"""Counts operators in the emulated NPU's own backend, which costs a tenth of doing so in Python."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from script_trial.counts import MOVES, Counts, NetworkRecord, Tally

#: Owners that are no network.
_OUTSIDE, _BACKWARD = 0, 1


def backend() -> Any:
    """The operators that steer the counting, ready; None where there is no emulated NPU, or none that counts."""
    emulator: Any = torch.ops.npu_emulator
    if not hasattr(emulator, "install_counting"):
        return None
    emulator.install_counting(sorted(MOVES))
    return emulator


class EmulatorCounter:
    """An `OperatorCounter` on the emulated NPU. Only one may count in a process."""

    def __init__(self, counts: Counts, backend: Any) -> None:
        self._counts = counts
        self._backend = backend
        self._owners = [counts.outside, counts.backward]
        self._numbers = {id(counts.outside): _OUTSIDE, id(counts.backward): _BACKWARD}

    @contextlib.contextmanager
    def in_this_thread(self) -> Iterator[None]:
        before = self._backend.count_in_this_thread(True)
        try:
            yield
        finally:
            self._backend.count_in_this_thread(before)

    def enter(self, record: NetworkRecord, data: list[Tensor]) -> None:
        number = self._numbers.get(id(record))
        if number is None:
            number = self._numbers[id(record)] = len(self._owners)
            self._owners.append(record)
        self._backend.enter_call(number, [one for one in data if one.device.type == "cpu"])

    def leave(self) -> bool:
        left: bool = self._backend.leave_call()
        return left

    @contextlib.contextmanager
    def working_on_host(self, why: str) -> Iterator[None]:
        before = self._backend.name_host_work(why)
        try:
            yield
        finally:
            self._backend.name_host_work(before)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        before = self._backend.pause_counting(True)
        try:
            yield
        finally:
            self._backend.pause_counting(before)

    def finish(self) -> None:
        for row, operations, size in zip(*self._backend.take_counts(), strict=True):
            kind, owner, name = row.split("\t")
            self._add(kind, owner, name, operations, size)

    def _add(self, kind: str, owner: str, name: str, operations: int, size: int) -> None:
        """A row of what was counted: `owner` is a device's type, why something was done on the host, or a number."""
        if kind in ("operator", "host_work"):
            counters = self._counts.by_name if kind == "operator" else self._counts.host_work
            counters.setdefault(owner, Counter())[name] += operations
            return
        record = self._owners[int(owner)]
        if kind == "host_data":
            record.host_data[name] += operations
        elif kind == "peak":
            record.peak_memory = max(record.peak_memory, size)
        else:
            tally = (record.computed if kind == "computed" else record.moved).setdefault(name, Tally())
            tally.operations += operations
            tally.bytes += size
