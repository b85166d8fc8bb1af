"""The process group ``hccl``: gloo, working in place on the host side of npu tensors."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeAlias
from weakref import WeakSet

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C import _distributed_c10d as c10d
from torch._C._distributed_c10d import AllreduceOptions, AllToAllOptions, BarrierOptions, ReduceScatterOptions
from torch.futures import Future

# The stubs of these differ between versions of torch, and leave methods out.
Work: TypeAlias = Any
_Work: Any = c10d.Work
_ProcessGroup: Any = dist.ProcessGroup

_FLOAT8 = {
    getattr(torch, name)
    for name in ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu")
}


_groups: WeakSet[ProcessGroupHCCL] = WeakSet()


@atexit.register
def _shut_down() -> None:
    for group in list(_groups):
        group.shutdown()


def register() -> None:
    """Makes ``hccl`` known to torch.distributed, as the backend of the device npu."""
    dist.Backend.register_backend("hccl", _create, devices=["npu"])
    dist.is_hccl_available = lambda: True  # type: ignore[attr-defined]
    dist.ProcessGroupHCCL = ProcessGroupHCCL  # type: ignore[attr-defined]
    # From torch 2.15 on a flight recorder hooks into groups whose backend does not record its calls. Gloo does.
    recording: set[str] = getattr(dist.distributed_c10d, "_FR_SELF_RECORDING_BACKENDS", set())
    recording.add("hccl")


def _create(store: c10d.Store, rank: int, size: int, timeout: timedelta) -> ProcessGroupHCCL:
    return ProcessGroupHCCL(store, rank, size, timeout)


def _host(tensor: Tensor) -> Tensor:
    view: Tensor = torch.ops.npu_emulator.host_view(tensor.detach()) if tensor.is_npu else tensor.detach()  # type: ignore[attr-defined]
    return view.view(torch.uint8) if view.dtype in _FLOAT8 else view


class _HcclWork(_Work):  # type: ignore[misc]
    """Work of gloo whose future holds the npu tensors, which is what DDP goes on with."""

    def __init__(self, work: Work, results: Any, finish: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._work = work
        devices: list[Any] = sorted({t.device for t in _flatten(results) if t.is_npu}, key=str)  # type: ignore[attr-defined]
        self._future: Future[Any] = Future(devices=devices)
        self._results = results
        self._finish = finish
        self._done = False

    def wait(self, timeout: timedelta = timedelta(0)) -> bool:
        if not self._done:
            # 0 stands for the time limit of the group.
            self._work.wait(*(() if timeout == timedelta(0) else (timeout,)))
            if self._finish is not None:
                self._finish()
            self._done = True
        return True

    def get_future(self) -> Future[Any]:
        if not self._future.done():
            self.wait()
            self._future.set_result(self._results)
        return self._future

    def is_completed(self) -> bool:
        return self._done or self._work.is_completed()

    def result(self) -> Any:
        self.wait()
        return self._results


def _flatten(value: Any) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else [tensor for part in value for tensor in _flatten(part)]


def _divide(tensors: Sequence[Tensor], size: int) -> None:
    for tensor in tensors:
        if tensor.is_floating_point() or tensor.is_complex():
            tensor.div_(size)
        else:
            tensor.floor_divide_(size)


class ProcessGroupHCCL(_ProcessGroup):  # type: ignore[misc]
    """Every collective that DDP, FSDP, DTensor and all-to-all call.

    Host tensors are taken in a group that was made for these too, ``cpu:gloo,npu:hccl``.

    HCCL counts elements where gloo compares shapes, so tensors are flattened before they are handed on; and AVG, which
    gloo lacks, is a sum divided afterwards.
    """

    class Options:
        """Options of a group, such as ``hccl_config``: kept, without effect."""

        def __init__(self) -> None:
            self.hccl_config: dict[str, Any] = {}
            self.is_high_priority_stream = False
            self.global_ranks_in_group: list[int] = []
            self.group_id = ""

    supports_coalescing = False
    supports_splitting = False

    def __init__(self, store: c10d.Store, rank: int, size: int, timeout: timedelta) -> None:
        super().__init__(rank, size)
        self._gloo: Any = dist.ProcessGroupGloo(store, rank, size, timeout)
        self._sequence = 0
        self._name = self._description = ""
        _groups.add(self)

    # -- the host side of a tensor ----------------------------------------------------------------------------

    def _host(self, tensor: Tensor) -> Tensor:
        """The host tensor over the same bytes; types gloo does not know travel as bytes.

        Raises:
            RuntimeError: a host tensor, and the group was not made for these too (``cpu:gloo,npu:hccl``).
        """
        if tensor.device.type != "npu" and not self._takes(tensor.device.type):
            raise RuntimeError(f"No backend type associated with device type {tensor.device.type}")
        return _host(tensor)

    def _hosts(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        return [self._host(tensor) for tensor in tensors]

    def _takes(self, device_type: str) -> bool:
        return f"{device_type}:" in dist.get_backend_config(self)

    # -- identity ---------------------------------------------------------------------------------------------

    def getBackendName(self) -> str:
        return "hccl"

    def name(self) -> str:
        return "hccl"

    def getGroupName(self) -> str:
        return self._name

    def setGroupName(self, name: str) -> None:
        self._name = name

    def getGroupDesc(self) -> str:
        return self._description

    def setGroupDesc(self, description: str) -> None:
        self._description = description

    @property
    def _device_types(self) -> list[torch.device]:
        return [torch.device("npu")]

    def _get_backend(self, device: torch.device) -> ProcessGroupHCCL:
        return self

    def _get_backend_name(self) -> str:
        return "hccl"

    def _set_sequence_number_for_group(self) -> None:
        self._sequence = 0

    def _get_sequence_number_for_group(self) -> int:
        return self._sequence

    def abort(self) -> None:
        self.shutdown()

    def shutdown(self) -> None:
        """Ends gloo's threads with its group.

        One that lets go of a tensor while Python ends asks for a lock that nobody gives any more, which ends the
        process by SIGABRT (torch 2.13 on Python 3.11).
        """
        self._gloo = None

    def _set_default_timeout(self, timeout: timedelta) -> None:
        self._gloo._set_default_timeout(timeout)

    # -- reductions -------------------------------------------------------------------------------------------

    def _reduced(self, run: Callable[[], Work], opts: Any, outputs: Any, written: Sequence[Tensor]) -> _HcclWork:
        if any(tensor.dtype in _FLOAT8 for tensor in _flatten(outputs)):
            raise ValueError("hccl moves float8 tensors but does not reduce them: cast to a wider type first")
        averages = opts.reduceOp == dist.ReduceOp.AVG
        if averages:
            opts.reduceOp = dist.ReduceOp.SUM
        return _HcclWork(run(), outputs, (lambda: _divide(written, self.size())) if averages else None)

    def allreduce(self, tensors: list[Tensor], opts: Any = None) -> Work:
        opts = opts or AllreduceOptions()
        hosts = self._hosts(tensors)
        return self._reduced(lambda: self._gloo.allreduce(hosts, opts), opts, tensors, hosts)

    def allreduce_coalesced(self, tensors: list[Tensor], opts: Any = None) -> Work:
        single = AllreduceOptions()
        if opts is not None:
            single.reduceOp, single.timeout = opts.reduceOp, opts.timeout
        return _Together([self.allreduce([tensor], _copy_of(single)) for tensor in tensors], tensors)

    def reduce(self, tensors: list[Tensor], opts: Any) -> Work:
        hosts = self._hosts(tensors)
        mine = hosts if opts.rootRank == self.rank() else []
        return self._reduced(lambda: self._gloo.reduce(hosts, opts), opts, tensors, mine)

    def reduce_scatter(self, outputs: list[Tensor], inputs: list[list[Tensor]], opts: Any = None) -> Work:
        flat = [torch.cat([part.reshape(-1) for part in parts]) for parts in inputs]
        return _Together(
            [self.reduce_scatter_single(o, i, _copy_of(opts)) for o, i in zip(outputs, flat, strict=True)], outputs
        )

    def reduce_scatter_single(self, output: Tensor, input: Tensor, opts: Any = None) -> Work:
        chosen = opts or ReduceScatterOptions()
        out, source = self._host(output), self._host(input).reshape(-1)
        summed = out.reshape(-1)
        work = self._reduced(lambda: self._gloo._reduce_scatter_base(summed, source, chosen), chosen, output, [summed])
        return _copied_back(work, out, summed)

    _reduce_scatter_base = reduce_scatter_single

    def reduce_scatter_single_coalesced(self, outputs: list[Tensor], inputs: list[Tensor], opts: Any = None) -> Work:
        works = [self.reduce_scatter_single(o, i, _copy_of(opts)) for o, i in zip(outputs, inputs, strict=True)]
        return _Together(works, outputs)

    reduce_scatter_tensor_coalesced = reduce_scatter_single_coalesced

    # -- gathering and spreading ------------------------------------------------------------------------------

    def broadcast(self, tensors: list[Tensor], opts: Any) -> Work:
        return _HcclWork(self._gloo.broadcast(self._hosts(tensors), opts), tensors)

    def allgather(self, outputs: list[list[Tensor]], inputs: list[Tensor], opts: Any = None) -> Work:
        works = []
        for parts, source in zip(outputs, inputs, strict=True):
            gathered = torch.empty((len(parts), source.numel()), dtype=source.dtype, device=source.device)
            work = self.all_gather_single(gathered, source)
            works.append(_spread_after(work, self._host(gathered), self._hosts(parts)))
        return _Together(works, outputs)

    def all_gather_single(self, output: Tensor, input: Tensor, opts: Any = None) -> Work:
        out = self._host(output)
        flat = out.reshape(-1)
        work = _HcclWork(self._gloo._allgather_base(flat, self._host(input).contiguous().reshape(-1)), output)
        return _copied_back(work, out, flat)

    _allgather_base = all_gather_single

    def all_gather_single_coalesced(self, outputs: list[Tensor], inputs: list[Tensor], opts: Any = None) -> Work:
        return _Together([self.all_gather_single(o, i) for o, i in zip(outputs, inputs, strict=True)], outputs)

    allgather_into_tensor_coalesced = all_gather_single_coalesced

    def allgather_coalesced(self, outputs: list[list[Tensor]], inputs: list[Tensor], opts: Any = None) -> Work:
        by_input = [[parts[i] for parts in outputs] for i in range(len(inputs))]
        return _Together([self.allgather([p], [i]) for p, i in zip(by_input, inputs, strict=True)], outputs)

    def gather(self, outputs: list[list[Tensor]], inputs: list[Tensor], opts: Any) -> Work:
        return _HcclWork(self._gloo.gather([self._hosts(o) for o in outputs], self._hosts(inputs), opts), outputs)

    def scatter(self, outputs: list[Tensor], inputs: list[list[Tensor]], opts: Any) -> Work:
        return _HcclWork(self._gloo.scatter(self._hosts(outputs), [self._hosts(i) for i in inputs], opts), outputs)

    # -- all to all -------------------------------------------------------------------------------------------

    def all_to_all_single(
        self, output: Tensor, input: Tensor, output_splits: list[int], input_splits: list[int], opts: Any = None
    ) -> Work:
        out = self._host(output)
        received = out.contiguous()
        source = self._host(input).contiguous()
        work = self._gloo.alltoall_base(received, source, output_splits, input_splits, opts or AllToAllOptions())
        return _copied_back(_HcclWork(work, output), out, received)

    alltoall_base = all_to_all_single

    def alltoall(self, outputs: list[Tensor], inputs: list[Tensor], opts: Any = None) -> Work:
        source = torch.cat([part.reshape(-1) for part in self._hosts(inputs)])
        hosts = self._hosts(outputs)
        received = source.new_empty(sum(part.numel() for part in hosts))
        sizes_out, sizes_in = [part.numel() for part in hosts], [part.numel() for part in inputs]
        work = self._gloo.alltoall_base(received, source, sizes_out, sizes_in, opts or AllToAllOptions())
        return _spread_after(_HcclWork(work, outputs), received, hosts)

    # -- point to point ---------------------------------------------------------------------------------------

    def send(self, tensors: list[Tensor], dst: int, tag: int = 0) -> Work:
        return _HcclWork(self._gloo.send(self._hosts(tensors), dst, tag), tensors)

    def recv(self, tensors: list[Tensor], src: int, tag: int = 0) -> Work:
        return _HcclWork(self._gloo.recv(self._hosts(tensors), src, tag), tensors)

    def recv_anysource(self, tensors: list[Tensor], tag: int = 0) -> Work:
        return self._gloo.recv_anysource(self._hosts(tensors), tag)

    def barrier(self, opts: Any = None) -> Work:
        return self._gloo.barrier(opts or BarrierOptions())


class _Together(_HcclWork):
    """Several pieces of work, waited for as one."""

    def __init__(self, works: Sequence[Work], results: Any) -> None:
        super().__init__(works[0] if works else None, results)
        self._works = works

    def wait(self, timeout: timedelta = timedelta(0)) -> bool:
        for work in self._works:
            work.wait(timeout)
        self._done = True
        return True

    def is_completed(self) -> bool:
        return all(work.is_completed() for work in self._works)


def _copy_of(opts: Any) -> Any:
    # AVG is carried out by changing the options, and one set of options may be shared by several tensors.
    if opts is None:
        return None
    copy = type(opts)()
    copy.reduceOp, copy.timeout = opts.reduceOp, opts.timeout
    return copy


def _after(work: _HcclWork, step: Callable[[], object]) -> _HcclWork:
    earlier = work._finish

    def finish() -> None:
        if earlier is not None:
            earlier()
        step()

    work._finish = finish
    return work


def _copied_back(work: _HcclWork, target: Tensor, flat: Tensor) -> _HcclWork:
    """Where flattening made a copy, what gloo wrote goes back into ``target``."""
    if flat.data_ptr() == target.data_ptr() or flat.numel() == 0:
        return work
    return _after(work, lambda: target.copy_(flat.view(target.shape)))


def _spread_after(work: _HcclWork, flat: Tensor, parts: Sequence[Tensor]) -> _HcclWork:
    """Once ``work`` is done, the elements of ``flat`` go to ``parts`` in order."""

    def spread() -> None:
        pieces = torch.split(flat.reshape(-1), [part.numel() for part in parts])
        for part, piece in zip(parts, pieces, strict=True):
            part.copy_(piece.view(part.shape))

    return _after(work, spread)
