"""Options of the vendor's profiler: checked as it checks them, and without effect on what is recorded here."""

from __future__ import annotations

import warnings
from typing import Any


class ProfilerLevel:
    """How much the vendor's profiler records."""

    Level0 = "Level0"
    Level1 = "Level1"
    Level2 = "Level2"
    Level_none = "Level_none"


class AiCMetrics:
    """Which counters of the AI cores the vendor's profiler reads."""

    PipeUtilization = "ACL_AICORE_PIPE_UTILIZATION"
    ArithmeticUtilization = "ACL_AICORE_ARITHMETIC_UTILIZATION"
    Memory = "ACL_AICORE_MEMORY_BANDWIDTH"
    MemoryL0 = "ACL_AICORE_L0B_AND_WIDTH"
    MemoryUB = "ACL_AICORE_MEMORY_UB"
    ResourceConflictRatio = "ACL_AICORE_RESOURCE_CONFLICT_RATIO"
    L2Cache = "ACL_AICORE_L2_CACHE"
    MemoryAccess = "ACL_AICORE_MEMORY_ACCESS"
    AiCoreNone = "ACL_AICORE_NONE"


class ExportType:
    """Files the vendor's profiler writes."""

    Db = "db"
    Text = "text"


class HostSystem:
    """What the vendor's profiler records of the host."""

    CPU = "cpu"
    MEM = "mem"
    DISK = "disk"
    NETWORK = "network"
    OSRT = "osrt"
    NUMA = "numa"


def _values(names: type) -> set[str]:
    return {value for name, value in vars(names).items() if not name.startswith("_")}


def supported_profiler_level() -> set[str]:
    """Every ProfilerLevel."""
    return _values(ProfilerLevel)


def supported_ai_core_metrics() -> set[str]:
    """Every AiCMetrics."""
    return _values(AiCMetrics)


def supported_export_type() -> set[str]:
    """Every ExportType."""
    return _values(ExportType)


class _ExperimentalConfig:
    """Options of the vendor's profiler. A value it does not take is reset to its default, with a warning."""

    def __init__(
        self,
        profiler_level: str = ProfilerLevel.Level0,
        aic_metrics: str = AiCMetrics.PipeUtilization,
        l2_cache: bool = False,
        msprof_tx: bool = False,
        mstx: bool = False,
        data_simplification: bool = True,
        record_op_args: bool = False,
        op_attr: bool = False,
        gc_detect_threshold: float | None = None,
        export_type: str | list[str] | None = ExportType.Text,
        host_sys: list[str] | None = None,
        mstx_domain_include: list[str] | None = None,
        mstx_domain_exclude: list[str] | None = None,
        sys_io: bool = False,
        sys_interconnection: bool = False,
    ) -> None:
        switches = {
            "l2_cache": (l2_cache, False),
            "msprof_tx": (msprof_tx, False),
            "mstx": (mstx, False),
            "data_simplification": (data_simplification, True),
            "record_op_args": (record_op_args, False),
            "op_attr": (op_attr, False),
            "sys_io": (sys_io, False),
            "sys_interconnection": (sys_interconnection, False),
        }
        self.options: dict[str, Any] = {
            name: _checked(name, value, {True, False}, default) for name, (value, default) in switches.items()
        }
        level = _checked("profiler_level", profiler_level, supported_profiler_level(), ProfilerLevel.Level0)
        counted = level in (ProfilerLevel.Level1, ProfilerLevel.Level2)
        metrics = _checked("aic_metrics", aic_metrics, supported_ai_core_metrics(), AiCMetrics.AiCoreNone)
        self.options |= {"profiler_level": level, "aic_metrics": metrics if counted else AiCMetrics.AiCoreNone}
        self.options["host_sys"] = _checked_list("host_sys", host_sys or [], _values(HostSystem), [])
        self.options |= {"include": mstx_domain_include or [], "exclude": mstx_domain_exclude or []}
        listed = [export_type] if isinstance(export_type, str) else export_type or []
        self._export_type = _checked_list("export_type", listed, supported_export_type(), [ExportType.Text])
        valid = gc_detect_threshold is None or _is_time(gc_detect_threshold)
        self._gc_detect_threshold = gc_detect_threshold if valid else None
        if not valid:
            _warn("gc_detect_threshold", gc_detect_threshold, None)

    @property
    def export_type(self) -> list[str]:
        """The files asked for."""
        return self._export_type

    @property
    def with_gc(self) -> bool:
        """Whether garbage collections are looked for."""
        return self._gc_detect_threshold is not None

    @property
    def gc_detect_threshold(self) -> float | None:
        """Milliseconds from which on a garbage collection counts."""
        return self._gc_detect_threshold

    @property
    def tx_enabled(self) -> bool:
        """Whether marks are recorded."""
        return bool(self.options["msprof_tx"] or self.options["mstx"])


def _is_time(value: Any) -> bool:
    return isinstance(value, (int, float)) and value >= 0


def _warn(name: str, value: object, default: object) -> None:
    warnings.warn(f"torch_npu.profiler: {name}={value!r} is not taken; {default!r} is used instead", stacklevel=4)


def _checked(name: str, value: Any, allowed: set[Any], default: Any) -> Any:
    if not isinstance(value, (bool, str)) or value not in allowed:
        _warn(name, value, default)
        return default
    return value


def _checked_list(name: str, values: Any, allowed: set[str], default: list[str]) -> list[str]:
    if not isinstance(values, list) or not set(values) <= allowed or (not values and default):
        _warn(name, values, default)
        return default
    return sorted(set(values))
