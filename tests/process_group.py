"""A process group of this process alone, for tests of what asks for one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.distributed as dist

_ENDED: list[Any] = []


@contextmanager
def alone_in_a_group(backend: str | None, **options: Any) -> Iterator[None]:
    """The default group within it; `options` are further ones of ``init_process_group``."""
    dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1, **options)
    # Freed just after its last call it may wait for ever (torch 2.13): it holds Python's lock while it waits for its
    # threads, and one of them needs that lock to let go of what it has worked on.
    _ENDED.append(dist.group.WORLD)
    try:
        yield
    finally:
        dist.destroy_process_group()
