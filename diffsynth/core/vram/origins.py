"""Where a unit's weights are read from, the files they came from or a copy held in memory, and the thread that carries
them from there beside the computation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from diffsynth.core.device.npu_compatible_device import synchronize
from diffsynth.core.loader.weight_source import WeightSource, copier
from diffsynth.core.vram.memory import has_streams, is_host, side_stream
from diffsynth.core.vram.policy import Placement
from diffsynth.core.vram.staging import Cargo, Staging
from diffsynth.core.vram.units import Weight


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


class Disk:
    """The files.

    Args:
        source: tensors by the files' keys.
        key_map: the file's key for each of the model's; of tied weights, one is enough.
        staging: the way from host memory to a device.
        moved: is counted up.
    """

    def __init__(
        self,
        weights: Sequence[Weight],
        source: WeightSource,
        key_map: Mapping[str, str],
        staging: Staging,
        moved: BytesMoved,
    ) -> None:
        self._source = source
        self._staging = staging
        self._moved = moved
        self._keys = {weight: next(key_map[key] for key in weight.keys if key in key_map) for weight in weights}

    def fill(self, weights: Sequence[Weight], outs: Sequence[Tensor]) -> None:
        """Fills contiguous `outs`, all on one device, each converted to its type.

        On a device with streams they may still be under way on the current one.
        """
        keys = [self._keys[weight] for weight in weights]
        if is_host(outs[0].device):
            for key, out in zip(keys, outs, strict=True):
                self._source.read_into(key, out)
        else:
            self._staging.send(Cargo(out, self._source.parts(key)) for key, out in zip(keys, outs, strict=True))
            self._moved.host_to_device += sum(out.nbytes for out in outs)
        self._moved.from_disk += sum(
            out.numel() * self._source.headers[key].dtype.itemsize for key, out in zip(keys, outs, strict=True)
        )


class HeldCopy:
    """A unit's weights in memory, not filled yet when made.

    Args:
        placement: where and in what type.
        tensors: the memory.
        pinned: it is host memory from which a device can fetch by itself.
        staging: the way to a device from other host memory.
        moved: is counted up by what is read from here.
        first: where they are read from when they are asked for the first time; None for a copy that others fill.

    Attributes:
        filled: the weights are there.
    """

    def __init__(
        self,
        weights: Sequence[Weight],
        placement: Placement,
        tensors: Sequence[Tensor],
        *,
        pinned: bool = False,
        staging: Staging,
        moved: BytesMoved,
        first: Origin | None = None,
    ) -> None:
        self.placement = placement
        self.tensors = tensors
        self.pinned = pinned
        self.filled = first is None
        self._weights = weights
        self._by_weight = dict(zip(weights, self.tensors, strict=True))
        self._staging = staging
        self._moved = moved
        self._first = first

    @property
    def nbytes(self) -> int:
        """What the weights take, without the gaps between them."""
        return sum(tensor.nbytes for tensor in self.tensors)

    def fill(self, weights: Sequence[Weight], outs: Sequence[Tensor]) -> None:
        """As `Disk.fill`."""
        if self._first is not None:
            self._first.fill(self._weights, self.tensors)
            self._first, self.filled = None, True
        held = [self._by_weight[weight] for weight in weights]
        stays = held[0].device == outs[0].device
        if stays or is_host(outs[0].device):
            for values, out in zip(held, outs, strict=True):
                out.copy_(values)
            self._moved.within_device += self.nbytes if stays else 0
            self._moved.device_to_host += 0 if stays else self.nbytes
        else:
            self._send(held, outs)
            self._moved.host_to_device += self.nbytes

    def _send(self, held: Sequence[Tensor], outs: Sequence[Tensor]) -> None:
        streams = has_streams(outs[0].device)
        through_ring = streams and not self.pinned
        if through_ring and all(values.dtype == out.dtype for values, out in zip(held, outs, strict=True)):
            self._staging.send(Cargo(out, copier(values)) for values, out in zip(held, outs, strict=True))
            return
        for values, out in zip(held, outs, strict=True):
            # In the type they are held in: a conversion on the way would be the host's work, and its memory.
            if through_ring:
                arrived = torch.empty_like(values, device=out.device)
                self._staging.send([Cargo(arrived, copier(values))])
            else:
                arrived = values if values.dtype == out.dtype else values.to(out.device, non_blocking=streams)
            out.copy_(arrived, non_blocking=streams)


Origin = Disk | HeldCopy
"""What weights can be read from, on the thread that carries them."""


class Carrier:
    """One thread that fills memory in the order it is asked to, and a stream of its own where the device has streams.

    Args:
        device: where the model computes.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._thread: ThreadPoolExecutor | None = None
        self._stream: torch.Stream | None = None

    def start(
        self, origin: Origin, weights: Sequence[Weight], outs: Sequence[Tensor], after: torch.Event | None
    ) -> Future[None]:
        """Starts filling `outs`. When the future has a result, the values are there for every stream.

        Args:
            after: the last work on the memory of `outs` that was queued on the device before.
        """
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="weights")
            self._stream = side_stream(self._device)
        return self._thread.submit(self._fill, origin, weights, outs, after)

    def stop(self) -> None:
        """Waits for what was started, and ends the thread; the next `start` has a new one."""
        if self._thread is not None:
            self._thread.shutdown(wait=True)
        self._thread = self._stream = None

    @torch.no_grad()
    def _fill(
        self, origin: Origin, weights: Sequence[Weight], outs: Sequence[Tensor], after: torch.Event | None
    ) -> None:
        if self._stream is not None:
            torch.accelerator.set_stream(self._stream)
            if after is not None:
                self._stream.wait_event(after)
        try:
            origin.fill(weights, outs)
        finally:
            # Memory may be reused as soon as the future is done, whatever happened.
            if self._stream is not None:
                self._stream.synchronize()
            for device in {out.device for out in outs} - {self._device}:
                synchronize(device)
