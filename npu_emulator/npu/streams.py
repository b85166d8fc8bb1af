"""Streams and events. Work is done when a call returns: they keep identity, order and time, and never wait."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Any

import torch

from npu_emulator.npu.devices import Device, _get_device_index
from npu_emulator.npu.not_emulated import NotEmulated


class Stream(torch.Stream):
    """A stream of an npu device: ``Stream(device=None, priority=0)``."""

    def __new__(cls, device: Any = None, priority: int = 0, **kwargs: Any) -> Any:
        if kwargs:
            return super().__new__(cls, **kwargs)
        return super().__new__(
            cls, device=torch.device("npu", _get_device_index(device, optional=True)), priority=priority
        )

    @property
    def npu_stream(self) -> int:
        """The stream's number, where hardware has a handle."""
        return self.stream_id

    @property
    def _as_parameter_(self) -> ctypes.c_void_p:
        return ctypes.c_void_p(self.npu_stream)

    def wait_event(self, event: torch.Event) -> None:
        """Later work on this stream starts after the event."""
        event.wait(self)

    def wait_stream(self, stream: torch.Stream) -> None:
        """Later work on this stream starts after what is on ``stream`` now."""
        super().wait_stream(stream)

    def record_event(self, event: torch.Event | None = None) -> torch.Event:
        """Records ``event``, or a new one, and returns it."""
        recorded = Event() if event is None else event
        recorded.record(self)
        return recorded

    def query(self) -> bool:
        """Whether all work is done: True."""
        return super().query()

    def synchronize(self) -> None:
        """Waits for the work on this stream: nothing is left to wait for."""
        super().synchronize()

    def set_data_preprocess_stream(self, is_data_preprocess_stream: bool = False) -> None:
        """A hint for the hardware's scheduler; nothing to do here."""


class SyncLaunchStream(Stream):
    """A stream whose work is launched at once instead of through a queue; here all are."""

    def __new__(cls, device: Any = None, priority: int = 0, **kwargs: Any) -> Any:
        return super().__new__(cls, device, priority, **kwargs)


class ExternalStream(Stream):
    """The stream that ``Stream.npu_stream`` gave the number of.

    Raises:
        NotEmulated: the number is not one of ours; a handle made by another library means nothing here.
    """

    def __new__(cls, stream_ptr: int, device: Any = None, **kwargs: Any) -> Any:
        index = _get_device_index(device, optional=True)
        kind = torch.accelerator.current_stream(index).device_type
        try:
            return super().__new__(cls, stream_id=stream_ptr, device_index=index, device_type=kind)
        except (RuntimeError, OverflowError, TypeError) as error:
            raise NotEmulated(
                f"torch.npu.ExternalStream({stream_ptr!r}): expected the npu_stream of a torch.npu.Stream; "
                "handles that other libraries made need the hardware"
            ) from error


class _EventType(type(torch.Event)):  # type: ignore[misc]
    # torch makes events of its own type, as for torch.Event("npu") or torch.accelerator: these are npu events too.
    def __instancecheck__(cls, instance: object) -> bool:
        return type.__instancecheck__(cls, instance) or (cls is Event and type(instance) is torch.Event)


class Event(torch.Event, metaclass=_EventType):
    """An event of an npu device: ``Event(enable_timing=False, blocking=False, interprocess=False)``."""

    _recorded: int | None = None  # nanoseconds
    _timed = False

    def __new__(cls, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False) -> Any:
        event = super().__new__(
            cls, device="npu", enable_timing=enable_timing, blocking=blocking, interprocess=interprocess
        )
        event._timed = enable_timing
        return event

    @classmethod
    def from_ipc_handle(cls, device: Any, handle: bytes) -> Event:
        """An event of another process.

        Raises:
            NotEmulated: always; events are not shared between processes.
        """
        raise NotEmulated("torch.npu.Event.from_ipc_handle: emulated events are not shared between processes")

    def ipc_handle(self) -> bytes:
        """A handle for another process.

        Raises:
            NotEmulated: always; events are not shared between processes.
        """
        raise NotEmulated("torch.npu.Event.ipc_handle: emulated events are not shared between processes")

    def record(self, stream: torch.Stream | None = None) -> None:
        """Records the event on ``stream``, the current one by default."""
        super().record(stream if stream is not None else current_stream(self.device))
        self._recorded = time.perf_counter_ns()

    def wait(self, stream: torch.Stream | None = None) -> None:
        """Later work on ``stream``, the current one by default, starts after the event."""
        super().wait(stream if stream is not None else current_stream(self.device))

    def query(self) -> bool:
        """Whether all work before the event is done: True."""
        return super().query()

    def synchronize(self) -> None:
        """Waits for the event: nothing is left to wait for."""
        super().synchronize()

    def elapsed_time(self, end_event: torch.Event) -> float:
        """Milliseconds from this event to ``end_event``, of the host's clock.

        Raises:
            ValueError: one of them does not keep time, or was not recorded.
        """
        return (_time_of(end_event) - _time_of(self)) / 1e6

    def recorded_time(self) -> int:
        """Microseconds of the host's clock when the event was recorded.

        Raises:
            ValueError: it does not keep time, or was not recorded.
        """
        return _time_of(self) // 1000


def _time_of(event: Any) -> int:
    if not getattr(event, "_timed", False):
        raise ValueError("Both events must be created with argument 'enable_timing=True'.")
    recorded: int | None = event._recorded
    if recorded is None:
        raise ValueError("Both events must be recorded before calculating elapsed time.")
    return recorded


class ExternalEvent(Event):
    """An event that is waited for before it is recorded, and used again after ``reset``. Nothing here waits."""

    def __new__(cls) -> Any:
        return super().__new__(cls)

    def record(self, stream: torch.Stream | None = None) -> None:
        """Records the event on ``stream``, the current one by default."""
        super().record(stream)

    def wait(self, stream: torch.Stream | None = None) -> None:
        """Later work on ``stream`` starts after the event. All of it does, since calls run one after the other."""
        super().wait(stream)

    def reset(self, stream: torch.Stream | None = None) -> None:
        """Makes the event fit to be recorded again."""
        self._recorded = None


_stream: Callable[..., Stream] = Stream


def _as_npu(stream: torch.Stream) -> Stream:
    return _stream(stream_id=stream.stream_id, device_index=stream.device_index, device_type=stream.device_type)


def current_stream(device: Device = None) -> Stream:
    """The stream that work on a device goes to."""
    return _as_npu(torch.accelerator.current_stream(_get_device_index(device, optional=True)))


def default_stream(device: Device = None) -> Stream:
    """The stream that work goes to unless told otherwise."""
    index = _get_device_index(device, optional=True)
    return _stream(stream_id=0, device_index=index, device_type=current_stream(index).device_type)


def set_stream(stream: torch.Stream | None) -> None:
    """Makes ``stream`` the current one of its device, and that device the current one."""
    if stream is not None:
        torch.accelerator.set_stream(stream)


class StreamContext:
    """Context manager that makes a stream the current one; nothing for None."""

    cur_stream: torch.Stream | None = None

    def __init__(self, stream_ctx: torch.Stream | None) -> None:
        self.stream = stream_ctx

    def __enter__(self) -> None:
        if self.stream is not None:
            self.stream.__enter__()

    def __exit__(self, *error: Any) -> None:
        if self.stream is not None:
            self.stream.__exit__(*error)


def stream(stream: torch.Stream | None) -> StreamContext:
    """``with torch.npu.stream(s):`` runs its body on ``s``."""
    return StreamContext(stream)


def _erase_stream(tensor: torch.Tensor, stream: torch.Stream) -> None:
    """Takes back ``tensor.record_stream(stream)``; memory is free when its last tensor is, so nothing is left to do.

    Raises:
        TypeError: not a tensor, or not a stream.
    """
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"tensor should be torch.Tensor, could not be {type(tensor)}")
    if not isinstance(stream, torch.Stream):
        raise TypeError(f"stream should be torch_npu.npu.Stream, could not be {type(stream)}")
