"""torch's own fully_shard, which runs on npu tensors as it is."""

from __future__ import annotations

from typing import Any


def fully_shard(*args: Any, **kwargs: Any) -> Any:
    """torch.distributed.fsdp.fully_shard."""
    from torch.distributed import fsdp

    return fsdp.fully_shard(*args, **kwargs)
