"""Profiling that a file turns on while a program runs: ``init(folder)``, then ``step()`` after each step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch.profiler import ProfilerActivity

from .profiler import profile, tensorboard_trace_handler
from .scheduler import Schedule

CONFIG = "profiler_config.json"
_DEFAULT = {"activities": ["CPU", "NPU"], "prof_dir": "./", "start_step": 0, "active": 1, "warmup": 0}


class _Watch:
    """The folder whose configuration is looked at, and what is being recorded."""

    def __init__(self) -> None:
        self.file: Path | None = None
        self.seen = 0
        self.steps = 0
        self.running: profile | None = None
        self.ends_at = 0


_watch = _Watch()


def init(path: str) -> None:
    """Watches ``profiler_config.json`` in the folder ``path``; writes one to edit if there is none."""
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    _watch.file = folder / CONFIG
    if not _watch.file.exists():
        _watch.file.write_text(json.dumps(_DEFAULT, indent=4), "utf-8")
    _watch.seen = _watch.file.stat().st_mtime_ns


def start(config_path: str | None = None) -> None:
    """Records the coming steps as the file ``config_path`` says, or the one that is watched.

    Raises:
        FileNotFoundError: no such file, or init() was not called.
    """
    file = Path(config_path) if config_path else _watch.file
    if file is None or not file.is_file():
        raise FileNotFoundError(
            f"torch_npu.profiler.dynamic_profile.start: {file}: no such file; call init(folder) first"
        )
    _begin({**_DEFAULT, **json.loads(file.read_text("utf-8"))})


def _begin(config: dict[str, Any]) -> None:
    if _watch.running is not None:
        return
    schedule = Schedule(wait=0, warmup=config["warmup"], active=config["active"], repeat=1)
    _watch.running = profile(
        activities=[getattr(ProfilerActivity, name) for name in config["activities"]],
        schedule=schedule,
        on_trace_ready=tensorboard_trace_handler(config["prof_dir"]),
    )
    _watch.ends_at = _watch.steps + config["warmup"] + config["active"]
    _watch.running.start()


def step() -> None:
    """Tells that a step is over; looks whether the configuration has changed."""
    _watch.steps += 1
    if _watch.running is not None:
        _watch.running.step()
        if _watch.steps >= _watch.ends_at:
            _watch.running.stop()
            _watch.running = None
    elif _watch.file is not None and _watch.file.stat().st_mtime_ns != _watch.seen:
        _watch.seen = _watch.file.stat().st_mtime_ns
        start()


def set_state(state_step: int) -> None:
    """Counts steps from ``state_step``, after a checkpoint was loaded."""
    _watch.steps = state_step
