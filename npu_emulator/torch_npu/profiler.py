"""torch.profiler under torch_npu's names; there is no device timeline, only the host's."""

from __future__ import annotations

import enum
from typing import Any

import torch
from torch.profiler import ProfilerAction, ProfilerActivity, schedule, supported_activities, tensorboard_trace_handler

__all__ = [
    "AiCMetrics",
    "ExportType",
    "ProfilerAction",
    "ProfilerActivity",
    "ProfilerLevel",
    "_ExperimentalConfig",
    "profile",
    "schedule",
    "supported_activities",
    "tensorboard_trace_handler",
]


class ProfilerLevel(enum.Enum):
    """How much the vendor's profiler records."""

    Level0 = "Level0"
    Level1 = "Level1"
    Level2 = "Level2"
    Level_none = "Level_none"


class AiCMetrics(enum.Enum):
    """Which counters of the AI cores the vendor's profiler reads."""

    PipeUtilization = "PipeUtilization"
    ArithmeticUtilization = "ArithmeticUtilization"
    Memory = "Memory"
    MemoryL0 = "MemoryL0"
    MemoryUB = "MemoryUB"
    ResourceConflictRatio = "ResourceConflictRatio"
    L2Cache = "L2Cache"
    AiCoreNone = "ACL_AICORE_NONE"


class ExportType(enum.Enum):
    """Files the vendor's profiler writes."""

    Text = "text"
    Db = "db"


class _ExperimentalConfig:
    """Options of the vendor's profiler: kept, without effect."""

    def __init__(self, **options: Any) -> None:
        self.options = options


class profile(torch.profiler.profile):
    """torch.profiler.profile; an ``experimental_config`` of this module is accepted and dropped."""

    def __init__(self, **options: Any) -> None:
        if isinstance(options.get("experimental_config"), _ExperimentalConfig):
            options.pop("experimental_config")
        super().__init__(**options)
