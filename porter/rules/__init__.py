"""One rule a file. A new rule is a new file here, its module's name below, and its cases in the tests."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from porter.rules.base import Rule

BY_LANGUAGE = {
    "python": (
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
        "torch_npu_build",
    ),
    "shell": (
        "npu_exports",
        "initialize_on_cpu",
        "npu_patch",
        "shell_variable",
        "shell_device",
        "shell_tool",
        "cuda_only_option",
        "shell_text",
    ),
    "accelerate": (
        "distributed_type",
        "config_for_cuda",
    ),
}
MODULES = tuple(name for names in BY_LANGUAGE.values() for name in names)


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule, in the order of their codes; where two want to change the same place, the first one does."""
    return tuple(rule for language in BY_LANGUAGE for rule in rules_for(language))


@cache
def rules_for(language: str) -> tuple[Rule, ...]:
    """The rules that read one language; those of the others are not imported."""
    rules: list[Rule] = [import_module(f"porter.rules.{name}").RULE for name in BY_LANGUAGE[language]]
    return tuple(rules)
