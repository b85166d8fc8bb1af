"""Rotary position embedding over several axes, in real float32 arithmetic.

A head's channels are pairs of neighbours, and each pair turns by an angle that grows with the token's position along
one axis (Su et al., "RoFormer", 2021). The angles are computed on the host in float64, where no accelerator has to
have that type, and only their cosines and sines, rounded to float32, are ever on a device.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

# Tables kept by one model: training over buckets of sizes must not collect them without end.
_TABLES_KEPT = 4


def rotary_tables(positions: Sequence[Tensor], dims: Sequence[int], theta: float = 10000.0) -> tuple[Tensor, Tensor]:
    """Cosines and sines for the tokens of a grid, in the grid's row-major order.

    Args:
        positions: along each axis, the positions of its rows; 1D.
        dims: channels of a head that turn with each axis; even.
        theta: base of the geometric series of frequencies.

    Returns:
        cosines and sines, float32 on the host, each (tokens, 1, sum(dims)), every number twice, once for either
        channel of its pair, as `core.fused.normed_and_rotated` takes them.
    """
    rows = [len(axis) for axis in positions]
    cosines, sines = [], []
    for number, (axis, dim) in enumerate(zip(positions, dims, strict=True)):
        exponents = torch.arange(0, dim, 2, dtype=torch.float64, device="cpu") / dim
        angle = torch.outer(axis.to("cpu", torch.float64), theta**-exponents).repeat_interleave(2, dim=-1)
        # Of one axis at a time, which the others repeat: a grid has far more tokens than its axes have rows together.
        along = [1] * number + [-1] + [1] * (len(rows) - number - 1) + [dim]
        cosines.append(angle.cos().float().view(along).expand(*rows, -1))
        sines.append(angle.sin().float().view(along).expand(*rows, -1))
    return tuple(torch.cat(each, dim=-1).flatten(0, -2).unsqueeze(1) for each in (cosines, sines))


class KeptTables:
    """Tables by what they are made for, on each device; the oldest go where there are too many.

    Not a module: the tables are no weights, and a model that is built on the meta device has none to fill.
    """

    def __init__(self) -> None:
        self._tables: dict[tuple[Hashable, torch.device], tuple[Tensor, Tensor]] = {}

    def get(
        self, key: Hashable, device: torch.device, make: Callable[[], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """The (cos, sin) of `key` on the device; `make` makes them on the host where they are not there yet."""
        if (key, device) not in self._tables:
            while len(self._tables) >= _TABLES_KEPT:
                del self._tables[next(iter(self._tables))]
            # A table made within inference mode could never again take part in training.
            with torch.inference_mode(False):
                cos, sin = make()
                self._tables[key, device] = cos.to(device), sin.to(device)
        return self._tables[key, device]


class AxialRotary:
    """The tables of grids counted from zero, built once for each shape and device."""

    def __init__(self, dims: Sequence[int]) -> None:
        self.dims = tuple(dims)
        self._kept = KeptTables()

    def tables(self, grid: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor]:
        """(cos, sin) for a grid with that many rows along each axis; see `rotary_tables`."""
        return self._kept.get(
            grid, device, lambda: rotary_tables([torch.arange(rows, device="cpu") for rows in grid], self.dims)
        )


class TextAndPicturesRotary:
    """The tables of a prompt's tokens followed by those of pictures, built once for each length, shapes and device.

    Each picture has its number as the position on the first axis, and rows and columns counted from its centre. The
    prompt starts where the largest picture ends, with the same position on all axes.
    """

    def __init__(self, dims: Sequence[int]) -> None:
        self.dims = tuple(dims)
        self._kept = KeptTables()

    def tables(
        self, text_length: int, grids: tuple[tuple[int, int], ...], device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """(cos, sin) for `text_length` tokens and pictures of (rows, columns); shapes as of `rotary_tables`."""
        return self._kept.get((text_length, grids), device, lambda: self._make(text_length, grids))

    def _make(self, text_length: int, grids: tuple[tuple[int, int], ...]) -> tuple[Tensor, Tensor]:
        start = max(length // 2 for grid in grids for length in grid)
        along_text = torch.arange(start, start + text_length, device="cpu")
        by_axis = [rotary_tables([along_text], [dim]) for dim in self.dims]
        parts = [(torch.cat([cos for cos, _ in by_axis], dim=-1), torch.cat([sin for _, sin in by_axis], dim=-1))]
        for number, grid in enumerate(grids):
            centred = [torch.arange(-(length - length // 2), length // 2, device="cpu") for length in grid]
            parts.append(rotary_tables([torch.tensor([number], device="cpu"), *centred], self.dims))
        return torch.cat([cos for cos, _ in parts]), torch.cat([sin for _, sin in parts])
