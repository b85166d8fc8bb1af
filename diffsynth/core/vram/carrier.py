"""The thread that carries weights: it fills memory in the order it is asked to, beside the computation."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from diffsynth.core.device.npu_compatible_device import synchronize
from diffsynth.core.vram.memory import side_stream
from diffsynth.core.vram.origins import Origin
from diffsynth.core.vram.units import Weight


class Carrier:
    """One thread, and a stream of its own where the device has streams.

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
