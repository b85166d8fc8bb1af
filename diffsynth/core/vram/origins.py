"""Where a unit's weights are read from: the files they came from, or a copy held in memory. Both read alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from diffsynth.core.loader.weight_source import WeightSource
from diffsynth.core.vram.memory import allocate_tensors, is_host
from diffsynth.core.vram.policy import Placement
from diffsynth.core.vram.staging import Staging
from diffsynth.core.vram.streams import has_streams
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


class Origin(Protocol):
    """Something to read weights from, on the thread that carries them."""

    def read_into(self, weight: Weight, out: Tensor) -> None:
        """Fills `out`, converted to its type. On a device with streams it may still be under way on the current one."""


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

    def read_into(self, weight: Weight, out: Tensor) -> None:
        key = self._keys[weight]
        if is_host(out.device):
            self._source.read_into(key, out)
        else:
            self._staging.send(out, lambda host: self._source.read_into(key, host))
            self._moved.host_to_device += out.nbytes
        self._moved.from_disk += out.numel() * self._source.headers[key].dtype.itemsize


class HeldCopy:
    """A unit's weights in memory, not filled yet when made.

    Args:
        placement: where and in what type.
        pinned: in host memory from which a device can fetch by itself.
        moved: is counted up by what is read from here.
    """

    def __init__(self, weights: Sequence[Weight], placement: Placement, *, pinned: bool, moved: BytesMoved) -> None:
        self.placement = placement
        self.tensors = allocate_tensors(weights, placement.dtype, placement.device, pinned=pinned)
        self._by_weight = dict(zip(weights, self.tensors, strict=True))
        self._moved = moved

    def read_into(self, weight: Weight, out: Tensor) -> None:
        held = self._by_weight[weight]
        if held.device == out.device:
            self._moved.within_device += held.nbytes
            out.copy_(held)
            return
        if is_host(out.device):
            self._moved.device_to_host += held.nbytes
        else:
            self._moved.host_to_device += held.nbytes
        streams = has_streams(out.device)
        # In the type it is held in: a conversion on the way would be the host's work, and its memory.
        arrived = held if held.dtype == out.dtype else held.to(out.device, non_blocking=streams)
        out.copy_(arrived, non_blocking=streams)
