"""The eight keys of a vram_config: where a model's weights are, and in what type, in each of four situations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch

from diffsynth.core.caller import nearest
from diffsynth.core.device.device_types import CPU
from diffsynth.core.device.npu_compatible_device import UnknownDeviceError, resolve_device

DISK = "disk"
SITUATIONS = ("offload", "onload", "preparing", "computation")
KEYS = tuple(f"{situation}_{part}" for situation in SITUATIONS for part in ("device", "dtype"))


class VramConfigError(ValueError):
    """A vram_config that is incomplete or contradicts itself; the message names the key."""


@dataclass(frozen=True)
class Placement:
    """In memory: on which device, and in what floating type."""

    device: torch.device
    dtype: torch.dtype


@dataclass(frozen=True)
class OnDisk:
    """In the files that they were loaded from, and nowhere else."""


@dataclass(frozen=True)
class VramPolicy:
    """Four placements.

    Attributes:
        offload: while the model is not in use.
        onload: while it is in use.
        preparing: where a unit of it moves at its forward, as long as there is room, and stays.
        computation: what its forward needs; a copy for the time of one forward where the weights are elsewhere.
    """

    offload: Placement | OnDisk
    onload: Placement | OnDisk
    preparing: Placement | OnDisk
    computation: Placement

    @property
    def passes_host(self) -> bool:
        """Whether weights stop on the host on their way from disk to a device, as they are on both: a stop to leave
        out."""
        onload, preparing = self.onload, self.preparing
        return (
            isinstance(self.offload, OnDisk)
            and isinstance(onload, Placement)
            and isinstance(preparing, Placement)
            and onload.device.type == CPU != preparing.device.type
            and onload.dtype == preparing.dtype
        )


def parse_vram_config(
    config: Mapping[str, object], *, torch_dtype: torch.dtype, device: torch.device, model: str
) -> VramPolicy | None:
    """The policy that a vram_config asks for; None where no key is given.

    onload and preparing are those of computation unless they are given.

    Args:
        config: some of the eight keys ``{offload,onload,preparing,computation}_{device,dtype}``; None is not given. A
            device is what torch.device takes, a dtype a torch dtype; or both are "disk".
        torch_dtype: the pipeline's, for advice.
        device: the pipeline's, where the model has to compute.
        model: what to call the model in a message.

    Raises:
        VramConfigError: a key that does not exist, half of a pair, a device that is not there, or placements that
            cannot follow each other.
    """
    try:
        for key in config:
            if key not in KEYS:
                raise VramConfigError(f"there is no key {key!r}: {nearest(key, KEYS, 'the keys are')}")
        given = {key: value for key, value in config.items() if value is not None}
        return _policy(given, torch_dtype, device) if given else None
    except VramConfigError as error:
        raise VramConfigError(f"vram_config of {model}: {error}") from error


def _policy(given: Mapping[str, object], torch_dtype: torch.dtype, device: torch.device) -> VramPolicy:
    offload, onload, preparing, computation = (_placement(given, situation) for situation in SITUATIONS)
    some = next(iter(given))
    if offload is None:
        raise VramConfigError(
            f"{some} is given without offload_device and offload_dtype: "
            "say where the weights are while the model is not in use, such as 'cpu' or 'disk'"
        )
    if computation is None:
        raise VramConfigError(
            f"{some} is given without computation_device and computation_dtype: "
            f"add computation_device={str(device)!r}, computation_dtype={torch_dtype}"
        )
    if isinstance(computation, OnDisk):
        raise VramConfigError(f"computation_device='disk': nothing computes there, write {str(device)!r}")
    _check_computation(computation, device)
    policy = VramPolicy(offload, onload or computation, preparing or computation, computation)
    _check_order(policy)
    return policy


def _placement(given: Mapping[str, object], situation: str) -> Placement | OnDisk | None:
    """The placement of one situation, or None where neither of its keys is given."""
    device_key, dtype_key = f"{situation}_device", f"{situation}_dtype"
    for key, other in ((device_key, dtype_key), (dtype_key, device_key)):
        if key in given and other not in given:
            hint = "'disk'" if given[key] == DISK else "it too"
            raise VramConfigError(f"{key} is given without {other}: give {hint}")
    if device_key not in given:
        return None
    device, dtype = given[device_key], given[dtype_key]
    if device == DISK and dtype == DISK:
        return OnDisk()
    if device == DISK or dtype == DISK:
        raise VramConfigError(
            f"{device_key}={device!r} contradicts {dtype_key}={dtype!r}: weights that stay on disk have 'disk' for both"
        )
    return Placement(_device(device, device_key), _dtype(dtype, dtype_key))


def _device(value: object, key: str) -> torch.device:
    try:
        return resolve_device(value)  # type: ignore[arg-type]
    except UnknownDeviceError as error:
        raise VramConfigError(f"{key}: {error}") from error


def _dtype(value: object, key: str) -> torch.dtype:
    if not isinstance(value, torch.dtype):
        raise VramConfigError(f"{key}={value!r} is no torch dtype: write one such as torch.bfloat16, or 'disk'")
    if not value.is_floating_point:
        raise VramConfigError(f"{key}={value} cannot hold weights: write a floating type such as torch.bfloat16")
    return value


def _check_computation(computation: Placement, device: torch.device) -> None:
    if computation.dtype.itemsize == 1:
        raise VramConfigError(
            f"computation_dtype={computation.dtype} is a type for storage: "
            "keep it for onload and preparing, and compute in one such as torch.bfloat16"
        )
    if computation.device != device:
        raise VramConfigError(
            f"computation_device={str(computation.device)!r}, "
            f"but the pipeline computes on {str(device)!r}: write the same for both"
        )


def _check_order(policy: VramPolicy) -> None:
    """Weights go from offload over onload and preparing to computation: never back to the disk on the way."""
    steps = (("offload", policy.offload), ("onload", policy.onload), ("preparing", policy.preparing))
    for (earlier, held), (later, placement) in pairwise(steps):
        if isinstance(placement, OnDisk) and not isinstance(held, OnDisk):
            raise VramConfigError(
                f"{later}_device='disk' contradicts {earlier}_device={str(held.device)!r}: "
                "weights in memory do not go back to the disk to be used"
            )
