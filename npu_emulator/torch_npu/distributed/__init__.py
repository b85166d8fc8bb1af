"""Collectives torch.distributed does not have: parts of unequal size."""

from .distributed_c10d import (
    _all_gather_into_tensor_uneven as all_gather_into_tensor_uneven,
)
from .distributed_c10d import (
    _all_to_all_vc as all_to_all_vc,
)
from .distributed_c10d import (
    _reduce_scatter_tensor_uneven as reduce_scatter_tensor_uneven,
)
from .distributed_c10d import is_hccl_available, reinit_process_group

__all__ = [
    "all_gather_into_tensor_uneven",
    "all_to_all_vc",
    "is_hccl_available",
    "reduce_scatter_tensor_uneven",
    "reinit_process_group",
]
