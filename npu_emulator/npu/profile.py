"""``torch.npu.profile``: the profiler older programs call, which writes a trace into a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch


class profile:
    """Context manager that records its body and writes a Chrome trace into the folder ``profiler_result_path``.

    Of the vendor's options, which choose hardware counters, none changes what is recorded here.
    """

    def __init__(
        self,
        profiler_result_path: str = "./",
        use_e2e_profiler: bool = False,
        config: Any = None,
    ) -> None:
        self._folder = Path(profiler_result_path)
        self._recorded: Any = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])

    def __enter__(self) -> profile:
        self._recorded.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._recorded.__exit__(*error)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._recorded.export_chrome_trace(str(self._folder / f"npu_profile_{os.getpid()}.json"))
