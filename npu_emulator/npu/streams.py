"""Streams and events. Work is done when a call returns: they keep identity, order and time, and never wait."""

from __future__ import annotations

from typing import Any

import torch

from npu_emulator.npu.device_index import Device, _get_device_index


class Stream(torch.Stream):
    """A stream of an npu device: ``Stream(device=None, priority=0)``."""

    def __new__(cls, device: Any = None, priority: int = 0, **raw: Any) -> Stream:
        if raw:
            return super().__new__(cls, **raw)
        return super().__new__(
            cls, device=torch.device("npu", _get_device_index(device, optional=True)), priority=priority
        )

    @property
    def npu_stream(self) -> int:
        """The stream's number, where hardware has a handle."""
        return self.stream_id

    def set_data_preprocess_stream(self, is_data_preprocess_stream: bool = False) -> None:
        """A hint for the hardware's scheduler; nothing to do here."""


class _EventType(type):
    # torch.Event compares exact types, so an npu event is a torch.Event, and isinstance says so.
    def __call__(cls, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False) -> torch.Event:
        return torch.Event("npu", enable_timing=enable_timing, blocking=blocking, interprocess=interprocess)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, torch.Event)


class Event(metaclass=_EventType):
    """An event of an npu device: ``Event(enable_timing=False, blocking=False, interprocess=False)``."""


def _as_npu(stream: torch.Stream) -> Stream:
    return Stream(stream_id=stream.stream_id, device_index=stream.device_index, device_type=stream.device_type)


def current_stream(device: Device = None) -> Stream:
    """The stream that work on a device goes to."""
    return _as_npu(torch.accelerator.current_stream(_get_device_index(device, optional=True)))


def default_stream(device: Device = None) -> Stream:
    """The stream that work goes to unless told otherwise."""
    index = _get_device_index(device, optional=True)
    return Stream(stream_id=0, device_index=index, device_type=current_stream(index).device_type)


def set_stream(stream: torch.Stream | None) -> None:
    """Makes ``stream`` the current one of its device, and that device the current one."""
    if stream is not None:
        torch.accelerator.set_stream(stream)


class StreamContext:
    """Context manager that makes a stream the current one; nothing for None."""

    def __init__(self, stream: torch.Stream | None) -> None:
        self.stream = stream

    def __enter__(self) -> None:
        if self.stream is not None:
            self.stream.__enter__()

    def __exit__(self, *error: Any) -> None:
        if self.stream is not None:
            self.stream.__exit__(*error)


def stream(stream: torch.Stream | None) -> StreamContext:
    """``with torch.npu.stream(s):`` runs its body on ``s``."""
    return StreamContext(stream)
