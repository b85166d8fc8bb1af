"""Where the numbers of a run go: a csv file, TensorBoard, Weights & Biases, SwanLab, the terminal."""

from __future__ import annotations

import argparse
import csv
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from diffsynth.core.progress import progress_bar
from diffsynth.diffusion.training.errors import TrainingError


class Log(Protocol):
    """One place for numbers."""

    def log(self, values: dict[str, float], step: int) -> None:
        """Takes the numbers of one update."""

    def finish(self) -> None:
        """Takes note of the end."""


def open_logs(args: argparse.Namespace, *, is_main: bool, update: int, updates: int) -> list[Log]:
    """The logs that the flags ask for, and the terminal; none but on the main process.

    Args:
        update, updates: of the run: those that are done, and in all.

    Raises:
        TrainingError: a log's package is not installed.
    """
    asked = [name for name in _LOGS if getattr(args, f"enable_{name}_log")]
    for name in asked:
        if importlib.util.find_spec(name) is None:
            raise TrainingError(f"--enable_{name}_log: {name} is not installed; pip install {name}")
    if not is_main:
        return []
    logs: list[Any] = [_Terminal(update, updates), *(_LOGS[name](args, update) for name in asked)]
    for log in logs:
        getattr(log, "start", lambda: None)()
    return logs


class _Csv:
    """A row an update: step, epoch, loss, learning_rate. A resumed run drops the rows that it comes to again."""

    def __init__(self, path: Path, update: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = []
        if update and path.exists():
            with path.open(newline="") as lines:
                kept = [row for row in csv.DictReader(lines) if int(row["step"]) <= update]
        self._file = path.open("w", newline="", buffering=1)
        self._writer: csv.DictWriter[str] | None = None
        for row in kept:
            self._write(row)

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._write({"step": step, **{name: repr(value) for name, value in values.items()}})

    def finish(self) -> None:
        self._file.close()

    def _write(self, row: Mapping[str, Any]) -> None:
        if self._writer is None:
            self._writer = csv.DictWriter(self._file, list(row), lineterminator="\n")
            self._writer.writeheader()
        self._writer.writerow(row)


class _Terminal:
    """A bar where there is a terminal, and a line now and then where output goes into a file."""

    seconds_between_lines = 30.0

    def __init__(self, update: int, updates: int) -> None:
        self._bar = progress_bar(
            total=updates, initial=update, desc="training", unit="update", disable=None
        )  # off a terminal, the lines below say more
        self._updates = updates
        self._last = -self.seconds_between_lines

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._bar.set_postfix(values, refresh=False)
        self._bar.update()
        due = time.monotonic() - self._last >= self.seconds_between_lines
        if not sys.stderr.isatty() and (due or step == self._updates):
            self._last = time.monotonic()
            numbers = ", ".join(f"{name} {value:.6g}" for name, value in values.items())
            print(f"update {step} of {self._updates}: {numbers}", flush=True)

    def finish(self) -> None:
        self._bar.close()


def _tensorboard(args: argparse.Namespace, update: int) -> Any:
    from accelerate.tracking import TensorBoardTracker

    return TensorBoardTracker("", logging_dir=args.output_path / "logs", purge_step=update + 1)


def _wandb(args: argparse.Namespace, update: int) -> Any:
    from accelerate.tracking import WandBTracker

    return WandBTracker(os.environ.get("WANDB_PROJECT", args.wandb_project), config=_plain(args))


def _swanlab(args: argparse.Namespace, update: int) -> Any:
    from accelerate.tracking import SwanLabTracker

    return SwanLabTracker(os.environ.get("SWANLAB_PROJECT", args.swanlab_project), config=_plain(args))


def _plain(args: argparse.Namespace) -> dict[str, Any]:
    return {
        name: value if isinstance(value, (int, float, str, bool)) else str(value) for name, value in vars(args).items()
    }


# By the module that a log needs, which its flag is named after; of a run that has done so many updates.
_LOGS: dict[str, Callable[[argparse.Namespace, int], Any]] = {
    "csv": lambda args, update: _Csv(args.output_path / "loss.csv", update),
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "swanlab": _swanlab,
}
