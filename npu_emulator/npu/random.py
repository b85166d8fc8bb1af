"""Random numbers: each device has a generator of its own."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from npu_emulator.npu.device_index import Device, _get_device_index, current_device
from npu_emulator.npu.devices import device_count


def get_default_generator(index: int) -> torch.Generator:
    """The generator that ops on device ``index`` draw from by default."""
    generator: torch.Generator = torch.ops.npu_emulator.default_generator(index)
    return generator


def get_rng_state(device: Device = "npu") -> torch.Tensor:
    """State of a device's generator, a host tensor of bytes."""
    return get_default_generator(_get_device_index(device, optional=True)).get_state()


def get_rng_state_all() -> list[torch.Tensor]:
    """State of every device's generator."""
    return [get_rng_state(index) for index in range(device_count())]


def set_rng_state(new_state: torch.Tensor, device: Device = "npu") -> None:
    """Puts a device's generator back to ``new_state``."""
    get_default_generator(_get_device_index(device, optional=True)).set_state(new_state)


def set_rng_state_all(new_states: Iterable[torch.Tensor]) -> None:
    """Puts every device's generator back."""
    for index, state in enumerate(new_states):
        set_rng_state(state, index)


def manual_seed(seed: int) -> None:
    """Seeds the current device."""
    get_default_generator(current_device()).manual_seed(int(seed))


def manual_seed_all(seed: int) -> None:
    """Seeds every device."""
    for index in range(device_count()):
        get_default_generator(index).manual_seed(int(seed))


def seed() -> None:
    """Seeds the current device from the system's entropy."""
    get_default_generator(current_device()).seed()


def seed_all() -> None:
    """Seeds every device with the same number from the system's entropy."""
    manual_seed_all(get_default_generator(current_device()).seed())


def initial_seed() -> int:
    """The seed of the current device."""
    return get_default_generator(current_device()).initial_seed()
