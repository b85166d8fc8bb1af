"""What is raised where a CUDA call has nothing to act on."""

from __future__ import annotations


class UnsupportedOnAccelerator(NotImplementedError):
    """A CUDA API that the accelerator lacks.

    Attributes:
        api: the API as the program wrote it, such as ``torch.cuda.list_gpu_processes``.
        accelerator: name of the device type it was redirected to, such as ``npu``.
        hardware: the hardware line, such as ``atlas-a2``; None where the accelerator has but one.
        nearest: what to use instead; empty where nothing is known.
    """

    def __init__(self, api: str, accelerator: str, hardware: str | None, nearest: str) -> None:
        self.api, self.accelerator, self.hardware, self.nearest = api, accelerator, hardware, nearest
        place = f"{accelerator} ({hardware})" if hardware else accelerator
        way_out = f"; nearest equivalent: {nearest}" if nearest else "; no equivalent is known"
        super().__init__(f"{api} is not available on {place}{way_out}")

    def __reduce__(self) -> tuple[type, tuple[str, str, str | None, str]]:
        return type(self), (self.api, self.accelerator, self.hardware, self.nearest)


class NoAccelerator(RuntimeError):
    """A device was asked for and there is none; the message says what was looked for and what to do."""
