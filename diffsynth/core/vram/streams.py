"""Streams and events of a device, by the names all devices share; none where work is done when a call returns."""

from __future__ import annotations

import torch

from diffsynth.core.vram.memory import is_host


def has_streams(device: torch.device) -> bool:
    """Whether copies to the device can run beside its computation."""
    return not is_host(device) and hasattr(torch.get_device_module(device), "Stream")


def side_stream(device: torch.device) -> torch.Stream | None:
    """A new stream, or None."""
    return torch.Stream(device=device) if has_streams(device) else None


def mark(device: torch.device) -> torch.Event | None:
    """An event after the work that is queued now on the thread's current stream, or None."""
    if not has_streams(device):
        return None
    event = torch.Event(device=device)
    event.record(torch.accelerator.current_stream(device))
    return event
