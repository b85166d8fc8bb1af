"""One rule a file. A new rule is a new file here, its module's name in RULES, and its cases in the tests."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from porter.rules.base import Rule

MODULES = (
    "device_string",
    "device_comparison",
    "mem_get_info",
    "torch_namespace",
    "cuda_method",
    "process_group_backend",
    "environment_variable",
    "profiler_activity",
    "names_both_devices",
    "unreadable_block",
    "missing_api",
    "unverified_api",
    "cuda_only_package",
    "cuda_extension",
    "backend_flag",
    "rand_device",
    "nvidia_tool",
    "cuda_string",
    "float64",
    "complex_numbers",
    "conv3d",
    "fork_rng",
    "float8",
    "device_capability",
    "offload_in_training",
    "out_of_memory_text",
    "rng_guard",
)


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule, in the order of their codes; where two want to change the same place, the first one does."""
    rules: list[Rule] = [import_module(f"porter.rules.{name}").RULE for name in MODULES]
    return tuple(rules)
