"""torch_npu's small helpers: counting floating point operations, binding threads, saving in the background."""

from npu_emulator.npu.devices import get_cann_version

from .affinity import _reset_thread_affinity as reset_thread_affinity
from .affinity import _set_thread_affinity as set_thread_affinity
from .combine_tensors import get_part_combined_tensor, is_combined_tensor_valid, npu_combine_tensors
from .flops_count import _FlopsCounter as FlopsCounter
from .serialization import save_async

__all__ = [
    "FlopsCounter",
    "get_cann_version",
    "get_part_combined_tensor",
    "is_combined_tensor_valid",
    "npu_combine_tensors",
    "reset_thread_affinity",
    "save_async",
    "set_thread_affinity",
]
