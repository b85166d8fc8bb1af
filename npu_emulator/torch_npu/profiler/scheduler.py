"""Which steps of a program the profiler records."""

from __future__ import annotations

import enum
import warnings
from typing import Any


class ProfilerAction(enum.Enum):
    """What the profiler does at a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


class Schedule:
    """Skips ``skip_first`` steps; then, ``repeat`` times or for ever (0), waits, warms up and records.

    A number that makes no sense is reset to the smallest that does, with a warning. ``skip_first_wait`` other than 0
    leaves out the first wait.
    """

    def __init__(
        self,
        wait: int,
        active: int,
        warmup: int = 0,
        repeat: int = 0,
        skip_first: int = 0,
        skip_first_wait: int = 0,
    ) -> None:
        self.wait = _at_least(0, "wait", wait)
        self.active = _at_least(1, "active", active)
        self.warmup = _at_least(0, "warmup", warmup)
        self.repeat = _at_least(0, "repeat", repeat)
        self.skip_first = _at_least(0, "skip_first", skip_first)
        self.skip_first_wait = _at_least(0, "skip_first_wait", skip_first_wait)

    def __call__(self, step: int) -> ProfilerAction:
        """What to do at a step, counted from 0.

        Raises:
            ValueError: the step is negative.
        """
        if step < 0:
            raise ValueError(f"Invalid parameter step: {step}, which must be not less than 0.")
        if step < self.skip_first:
            return ProfilerAction.NONE
        cycle = self.wait + self.warmup + self.active
        past = step - self.skip_first + (self.wait if self.skip_first_wait else 0)
        if self.repeat and past >= self.repeat * cycle:
            return ProfilerAction.NONE
        place = past % cycle
        if place < self.wait:
            return ProfilerAction.NONE
        if place < self.wait + self.warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD_AND_SAVE if place == cycle - 1 else ProfilerAction.RECORD


def _at_least(low: int, name: str, number: Any) -> int:
    if not isinstance(number, int) or number < low:
        warnings.warn(f"torch_npu.profiler.schedule: {name}={number!r} is not taken; {low} is used", stacklevel=3)
        return low
    return number
