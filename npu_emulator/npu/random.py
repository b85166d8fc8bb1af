"""Random numbers: each device has a generator of its own."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from npu_emulator.npu.devices import Device, _get_device, _get_device_index, current_device, device_count


def get_default_generator(device_index: int) -> torch.Generator:
    """The generator that ops on device ``device_index`` draw from by default."""
    generator: torch.Generator = torch.ops.npu_emulator.default_generator(device_index)
    return generator


def _get_generator(device: torch.device) -> torch.Generator:
    """The generator of a device."""
    return get_default_generator(_get_device_index(device, optional=True))


def _get_rng_state_offset(device: torch.device | str | int = "npu") -> int:
    """How many numbers the generator of a device has drawn."""
    return _get_generator(_get_device(device)).get_offset()


def _set_rng_state_offset(offset: int, device: torch.device | str | int = "npu") -> None:
    """Moves the generator of a device to ``offset``."""
    _get_generator(_get_device(device)).set_offset(offset)


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
