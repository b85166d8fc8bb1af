"""Names that torch_npu has and that mean nothing without the hardware: each raises when used."""

from __future__ import annotations

from typing import Any, NoReturn

NAMES = (
    "ExternalEvent",
    "ExternalStream",
    "MemPool",
    "NPUGraph",
    "NPUPluggableAllocator",
    "NpuGraphOpHandler",
    "SyncLaunchStream",
    "caching_allocator_alloc",
    "caching_allocator_delete",
    "change_current_allocator",
    "check_uce_in_memory",
    "clear_npu_overflow_flag",
    "current_blas_handle",
    "finalize_dump",
    "get_device_limit",
    "get_npu_overflow_flag",
    "get_stream_limit",
    "graph",
    "graph_pool_handle",
    "graph_task_group_begin",
    "graph_task_group_end",
    "graph_task_update_begin",
    "graph_task_update_end",
    "init_dump",
    "make_graphed_callables",
    "memory_snapshot",
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
    "super_kernel_scope_begin",
    "super_kernel_scope_end",
    "use_mem_pool",
)


class NotEmulated(NotImplementedError):
    """A part of torch.npu that needs the hardware."""


def placeholder(name: str) -> type:
    """A class or function of that name, which raises NotEmulated when called."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise NotEmulated(f"torch.npu.{name} works on Ascend hardware, but the emulated NPU does not have it")

    return type(name, (), {"__new__": refuse, "__module__": "torch.npu", "__doc__": "Not emulated."})
