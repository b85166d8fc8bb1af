"""Names that torch_npu has and that mean nothing without the hardware: each raises when used."""

from __future__ import annotations

from typing import Any, NoReturn

NAMES = (
    "NpuGraphOpHandler",
    "check_uce_in_memory",
    "clear_npu_overflow_flag",
    "current_blas_handle",
    "finalize_dump",
    "get_device_limit",
    "get_npu_overflow_flag",
    "get_stream_limit",
    "init_dump",
    "npurt",
    "obfuscation_calculate",
    "obfuscation_finalize",
    "obfuscation_initialize",
    "register_npu_graph_handler",
    "reset_stream_limit",
    "restart_device",
    "set_aoe",
    "set_device_limit",
    "set_dump",
    "set_op_timeout_ms",
    "set_stream_limit",
    "stop_device",
    "stress_detect",
)

# Those that torch_npu.npu defines in a submodule, and shows itself where they are public.
IN_SUBMODULES = {
    "graphs": (
        "NPUGraph",
        "graph",
        "graph_pool_handle",
        "graph_task_group_begin",
        "graph_task_group_end",
        "graph_task_update_begin",
        "graph_task_update_end",
        "make_graphed_callables",
        "super_kernel_scope_begin",
        "super_kernel_scope_end",
    ),
    "memory": (
        "MemPool",
        "NPUPluggableAllocator",
        "_dump_snapshot",
        "_record_memory_history",
        "_snapshot",
        "caching_allocator_alloc",
        "caching_allocator_delete",
        "change_current_allocator",
        "memory_snapshot",
    ),
    "streams": (
        "ExternalEvent",
        "ExternalStream",
        "SyncLaunchStream",
    ),
}


class NotEmulated(NotImplementedError):
    """A part of torch.npu that needs the hardware."""


def placeholder(name: str, module: str = "torch.npu") -> type:
    """A class or function of that name, which raises NotEmulated when called."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise NotEmulated(f"{module}.{name} works on Ascend hardware, but the emulated NPU does not have it")

    return type(name, (), {"__new__": refuse, "__module__": module, "__doc__": "Not emulated."})


def in_submodule(submodule: str) -> dict[str, type]:
    """The placeholders of a submodule, by name."""
    return {name: placeholder(name, f"torch.npu.{submodule}") for name in IN_SUBMODULES[submodule]}
