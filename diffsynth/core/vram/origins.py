"""Where a unit's weights are read from, the files they came from or a copy held in memory, and the thread that carries
them from there beside the computation."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from diffsynth.core.device.npu_compatible_device import synchronize
from diffsynth.core.loader.weight_source import WeightSource, copier
from diffsynth.core.vram.memory import has_streams, is_host
from diffsynth.core.vram.policy import Placement
from diffsynth.core.vram.staging import Cargo, Staging


@dataclass
class BytesMoved:
    """What was moved since the model was loaded, bytes.

    Attributes:
        from_disk: read from the files, counted in their own types.
        host_to_device: sent from host memory to a device.
        device_to_host: sent back; only where a config leaves the host without a copy.
        within_device: copied from one type or place to another of the same device, the host included.
    """

    from_disk: int = 0
    host_to_device: int = 0
    device_to_host: int = 0
    within_device: int = 0


@dataclass(frozen=True)
class Files:
    """Where a unit's weights came from.

    Attributes:
        keys: of each weight in the source.
        staging: the way from host memory to a device.
        moved: is counted up.
    """

    source: WeightSource
    keys: Sequence[str]
    staging: Staging
    moved: BytesMoved

    def fill(self, outs: Sequence[Tensor]) -> None:
        """Fills contiguous `outs`, one for each weight, all on one device, each converted to its type.

        On a device with streams they may still be under way on the current one.
        """
        if is_host(outs[0].device):
            for key, out in zip(self.keys, outs, strict=True):
                self.source.read_into(key, out)
        else:
            self.staging.send(Cargo(out, self.source.parts(key)) for key, out in zip(self.keys, outs, strict=True))
            self.moved.host_to_device += sum(out.nbytes for out in outs)
        self.moved.from_disk += sum(self.source.headers[key].nbytes for key in self.keys)


@dataclass(eq=False)
class HeldCopy:
    """A unit's weights in memory.

    Attributes:
        placement: where and in what type.
        tensors: the memory, as the unit's modules hold it.
        staging: the way to a device from host memory that is not pinned.
        moved: is counted up by what is read from here.
        pinned: it is host memory from which a device can fetch by itself.
        first: where they are still to be read from, when they are asked for; None once they are there, and for a copy
            that others fill.
    """

    placement: Placement
    tensors: Sequence[Tensor]
    staging: Staging
    moved: BytesMoved
    pinned: bool = False
    first: Files | None = None

    @property
    def nbytes(self) -> int:
        """What the weights take, without the gaps between them."""
        return sum(tensor.nbytes for tensor in self.tensors)

    def fill(self, outs: Sequence[Tensor]) -> None:
        """As `Files.fill`."""
        if self.first is not None:
            self.first.fill(self.tensors)
            self.first = None
        stays = self.tensors[0].device == outs[0].device
        if stays or is_host(outs[0].device):
            for values, out in zip(self.tensors, outs, strict=True):
                out.copy_(values)
            self.moved.within_device += self.nbytes if stays else 0
            self.moved.device_to_host += 0 if stays else self.nbytes
        else:
            self._send(outs)
            self.moved.host_to_device += self.nbytes

    def _send(self, outs: Sequence[Tensor]) -> None:
        streams = has_streams(outs[0].device)
        through_ring = streams and not self.pinned
        if through_ring and all(values.dtype == out.dtype for values, out in zip(self.tensors, outs, strict=True)):
            self.staging.send(Cargo(out, copier(values)) for values, out in zip(self.tensors, outs, strict=True))
            return
        for values, out in zip(self.tensors, outs, strict=True):
            # In the type they are held in: a conversion on the way would be the host's work, and its memory.
            if through_ring:
                arrived = torch.empty_like(values, device=out.device)
                self.staging.send([Cargo(arrived, copier(values))])
            else:
                arrived = values if values.dtype == out.dtype else values.to(out.device, non_blocking=streams)
            out.copy_(arrived, non_blocking=streams)


Origin = Files | HeldCopy
"""What weights can be read from, on the thread that carries them."""


@dataclass(eq=False)
class Carrier:
    """One thread that fills memory in the order it is asked to, and a stream of its own where the device has streams.

    Attributes:
        device: where the model computes.
    """

    device: torch.device
    _thread: ThreadPoolExecutor | None = None
    _stream: torch.Stream | None = None

    def start(self, origin: Origin, outs: Sequence[Tensor], after: torch.Event | None) -> Future[None]:
        """Starts filling `outs`. When the future has a result, the values are there for every stream.

        Args:
            after: the last work on the memory of `outs` that was queued on the device before.
        """
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="weights")
            self._stream = torch.Stream(device=self.device) if has_streams(self.device) else None
        return self._thread.submit(self._fill, origin, outs, after)

    def stop(self) -> None:
        """Waits for what was started, and ends the thread; the next `start` has a new one."""
        if self._thread is not None:
            self._thread.shutdown(wait=True)
        self._thread = self._stream = None

    @torch.no_grad()
    def _fill(self, origin: Origin, outs: Sequence[Tensor], after: torch.Event | None) -> None:
        if self._stream is not None:
            torch.accelerator.set_stream(self._stream)
            if after is not None:
                self._stream.wait_event(after)
        try:
            origin.fill(outs)
        finally:
            # Memory may be reused as soon as the future is done, whatever happened.
            if self._stream is not None:
                self._stream.synchronize()
            for device in {out.device for out in outs} - {self.device}:
                synchronize(device)
