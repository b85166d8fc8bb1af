"""A data loader's batches, copied to the NPU one ahead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor


class Prefetcher:
    """``next()`` gives input and target on the NPU, (None, None) behind the last."""

    def __init__(self, loader: Iterable[Any], stream: Any = None) -> None:
        self.loader: Iterator[Any] = iter(loader)
        self.stream = torch.npu.Stream() if stream is None else stream  # type: ignore[attr-defined]
        self.next_input: Tensor | None
        self.next_target: Tensor | None
        self.preload()

    def preload(self) -> None:
        """Takes the next batch from the loader and begins its copy."""
        try:
            given, target = next(self.loader)
        except StopIteration:
            self.next_input = self.next_target = None
            return
        with torch.npu.stream(self.stream):  # type: ignore[attr-defined]
            self.next_input, self.next_target = given.npu(non_blocking=True), target.npu(non_blocking=True)

    def next(self) -> tuple[Tensor | None, Tensor | None]:
        """The next batch."""
        torch.npu.current_stream().wait_stream(self.stream)  # type: ignore[attr-defined]
        batch = self.next_input, self.next_target
        if self.next_target is not None:
            self.preload()
        return batch
