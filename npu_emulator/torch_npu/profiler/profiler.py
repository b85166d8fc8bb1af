"""``torch_npu.profiler.profile``: torch's profiler, which records the host, with the vendor's parameters."""

from __future__ import annotations

import os
import socket
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity

from .experimental_config import _ExperimentalConfig
from .scheduler import ProfilerAction

Handler = Callable[[Any], None]


def supported_activities() -> set[ProfilerActivity]:
    """The host, and the NPU, on whose timeline nothing happens here."""
    return {ProfilerActivity.CPU, ProfilerActivity.NPU}  # type: ignore[attr-defined]


def tensorboard_trace_handler(
    dir_name: str | None = None,
    worker_name: str | None = None,
    analyse_flag: bool = True,
    async_mode: bool = False,
) -> Handler:
    """For ``on_trace_ready``: writes ``WORKER_PID_TIME_ascend_pt/ASCEND_PROFILER_OUTPUT/trace_view.json``.

    The folder is below ``dir_name``, else ASCEND_WORK_PATH, else the current folder. Without ``analyse_flag`` nothing
    is written, since there is no raw data to keep; ``async_mode`` makes no difference.
    """
    worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
    above = Path(dir_name or os.environ.get("ASCEND_WORK_PATH") or ".")

    def write(recorded: Any) -> None:
        if analyse_flag:
            folder = above / f"{worker}_{time.strftime('%Y%m%d%H%M%S')}{time.time_ns() // 10**6 % 1000:03d}_ascend_pt"
            output = folder / "ASCEND_PROFILER_OUTPUT"
            output.mkdir(parents=True, exist_ok=True)
            recorded.export_chrome_trace(str(output / "trace_view.json"))

    return write


def analyse(profiler_path: str, max_process_number: int = 4, export_type: str | list[str] | None = None) -> None:
    """Nothing to do: traces are written whole as they are recorded.

    Raises:
        FileNotFoundError: no such folder.
    """
    if not Path(profiler_path).is_dir():
        raise FileNotFoundError(f"torch_npu.profiler.profiler.analyse: {profiler_path}: no such folder")


_TorchKinetoProfile: Any = torch.profiler.profiler._KinetoProfile


class _KinetoProfile(_TorchKinetoProfile):  # type: ignore[misc]
    """torch.profiler._KinetoProfile with the vendor's parameters."""

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = False,
        with_modules: bool = False,
        experimental_config: _ExperimentalConfig | None = None,
        custom_trace_id_callback: Callable[[], str] | None = None,
    ) -> None:
        super().__init__(
            activities=_recorded(activities),
            record_shapes=record_shapes,
            profile_memory=profile_memory,
            with_stack=with_stack,
            with_flops=with_flops,
            with_modules=with_modules,
        )


def _recorded(activities: Iterable[ProfilerActivity] | None) -> list[ProfilerActivity]:
    # The NPU has no timeline; asked for alone, it would leave nothing to record.
    asked = set(activities or supported_activities()) & {ProfilerActivity.CPU}
    return list(asked or {ProfilerActivity.CPU})


class profile(torch.profiler.profile):
    """torch.profiler.profile with the vendor's parameters; ``experimental_config`` chooses nothing here."""

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], Any] | None = None,
        on_trace_ready: Handler | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = False,
        with_modules: bool = False,
        experimental_config: _ExperimentalConfig | None = None,
        execution_trace_observer: Any = None,
        custom_trace_id_callback: Callable[[], str] | None = None,
        use_cuda: bool | None = None,
    ) -> None:
        if use_cuda is not None:
            warnings.warn("torch_npu.profiler.profile: use_cuda has no meaning for an NPU", stacklevel=2)
        super().__init__(
            activities=_recorded(activities),
            schedule=None if schedule is None else _for_torch(schedule),
            on_trace_ready=on_trace_ready,
            record_shapes=record_shapes,
            profile_memory=profile_memory,
            with_stack=with_stack,
            with_flops=with_flops,
            with_modules=with_modules,
            execution_trace_observer=execution_trace_observer,
        )
        self.custom_trace_id_callback = custom_trace_id_callback

    def start(self) -> None:
        """Begins to record, as entering does."""
        super().start()

    def stop(self) -> None:
        """Ends recording, and hands the trace to ``on_trace_ready``."""
        super().stop()

    def step(self) -> None:
        """Tells the schedule that a step is over."""
        super().step()

    def get_trace_id(self) -> str | None:
        """What ``custom_trace_id_callback`` returns; None without one."""
        return None if self.custom_trace_id_callback is None else self.custom_trace_id_callback()

    def set_custom_trace_id_callback(self, callback: Callable[[], str]) -> None:
        """Where get_trace_id takes its answer from."""
        self.custom_trace_id_callback = callback

    @classmethod
    def enable_profiler_in_child_thread(
        cls,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = False,
        with_modules: bool = False,
    ) -> None:
        """Nothing to do: threads that torch starts are recorded, and others are not."""

    @classmethod
    def disable_profiler_in_child_thread(cls) -> None:
        """Nothing to do, as enable_profiler_in_child_thread."""


def _for_torch(schedule: Callable[[int], Any]) -> Callable[[int], torch.profiler.ProfilerAction]:
    """torch compares actions by identity, and they are named alike."""

    def action(step: int) -> torch.profiler.ProfilerAction:
        chosen: ProfilerAction = schedule(step)
        return torch.profiler.ProfilerAction[chosen.name]

    return action
