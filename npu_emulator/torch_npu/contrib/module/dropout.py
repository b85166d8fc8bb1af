"""Dropout whose masks are drawn ahead, between one call of the model and the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..function import dropout_with_byte_mask


class DropoutWithByteMask(nn.Module):
    """Dropout; ``max_seed`` changes nothing, on hardware neither."""

    def __init__(self, p: float = 0.5, inplace: bool = False, max_seed: int = 2**10 - 1) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def forward(self, input1: Tensor) -> Tensor:
        """Dropout in training, else the input."""
        return dropout_with_byte_mask(input1, self.p, self.training, self.inplace)


@dataclass
class _Task:
    """What is drawn ahead for the calls of one shape: as many as there were in the first run of the model."""

    request_count: int = 0
    queue: list[Tensor] = field(default_factory=list)


def _next(tasks: dict[Any, _Task], key: Any) -> Tensor | None:
    """What was drawn ahead for this call; None if nothing was yet, which asks for it."""
    task = tasks.setdefault(key, _Task())
    if task.queue:
        return task.queue.pop(0)
    task.request_count += 1
    return None


def _wait_for(stream: Any) -> Any:
    def hook(*_: Any) -> None:
        torch.npu.current_stream().wait_stream(stream)  # type: ignore[attr-defined]

    return hook


class NpuCachedDropout(nn.Dropout):
    """Dropout of models that ``enable_dropout_ensemble`` has prepared: the run behind draws the masks of the next.

    As on hardware a call whose mask is not drawn yet (so any in the first run, or without preparation) drops nothing,
    and ``eval()`` does not turn the others off.
    """

    task_dict: ClassVar[dict[Any, _Task]] = {}
    dropout_stream: ClassVar[Any] = None

    def __init__(self, p: float, module_name: str | None = None) -> None:
        super().__init__(p)
        self.module_name = module_name

    def forward(self, x: Any) -> Any:
        """Dropout of a tensor; of [shape, dtype, device] the mask itself, or None.

        Raises:
            RuntimeError: x is neither.
        """
        if not isinstance(x, (Tensor, list)):
            raise RuntimeError(f"input type error! expected a tensor, or [shape, dtype, device], but got {type(x)}")
        shape, dtype, device = (x.shape, x.dtype, x.device) if isinstance(x, Tensor) else x
        unchanged = x if isinstance(x, Tensor) else None
        if self.p == 0:
            return unchanged
        mask = _next(NpuCachedDropout.task_dict, (torch.Size(shape), dtype, device, self.p))
        if mask is None:
            return unchanged
        return torch.ops.npu.npu_dropout_do_mask(x, mask, self.p)[0] if isinstance(x, Tensor) else mask

    @classmethod
    def enable_dropout_ensemble(cls, model: nn.Module) -> None:
        """Has every run of ``model`` draw the masks of the next."""
        if cls.dropout_stream is None:
            cls.dropout_stream = torch.npu.Stream()  # type: ignore[attr-defined]

        def draw(*_: Any) -> None:
            for (shape, dtype, device, p), task in cls.task_dict.items():
                while len(task.queue) < task.request_count:
                    mask = torch.ops.npu.npu_dropout_gen_mask(shape, p=p, dtype=dtype, device=device)
                    task.queue.append(mask)

        model.register_forward_pre_hook(_wait_for(cls.dropout_stream))
        model.register_forward_hook(draw)


NpuFairseqDropout = NpuCachedDropout


class NpuDropPath(nn.Module):
    """Drops whole samples, in training, of models that ``enable_droppath_ensemble`` has prepared.

    As on hardware a call whose numbers are not drawn yet (so any in the first run, or without preparation) drops
    nothing.
    """

    task_dict: ClassVar[dict[Any, _Task]] = {}
    droppath_stream: ClassVar[Any] = None

    def __init__(self, drop_prob: float | None = None) -> None:
        super().__init__()
        if drop_prob is None:
            raise TypeError("NpuDropPath: drop_prob is None, expected a probability; torch_npu takes no other either")
        self.drop_prob, self.keep_prob = drop_prob, 1 - drop_prob

    def forward(self, x: Tensor) -> Tensor:
        """x, some samples zero, the others scaled up."""
        if self.drop_prob == 0 or not self.training:
            return x
        drawn = _next(NpuDropPath.task_dict, (x.shape, x.device, x.dtype))
        return x if drawn is None else x.div(self.keep_prob) * (drawn + self.keep_prob).floor()

    @classmethod
    def enable_droppath_ensemble(cls, model: nn.Module) -> None:
        """Has every run of ``model`` draw the numbers of its calls ahead."""
        if cls.droppath_stream is None:
            cls.droppath_stream = torch.npu.Stream()  # type: ignore[attr-defined]

        def draw(*_: Any) -> None:
            with torch.npu.stream(cls.droppath_stream):  # type: ignore[attr-defined]
                for (shape, device, dtype), task in cls.task_dict.items():
                    while len(task.queue) < task.request_count:
                        each = (shape[0], *[1] * (len(shape) - 1))
                        task.queue.append(torch.rand(each, dtype=dtype, device=device))

        model.register_forward_pre_hook(_wait_for(cls.droppath_stream))
        model.register_forward_pre_hook(draw)
