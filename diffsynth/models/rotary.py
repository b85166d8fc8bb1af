"""Rotary position embedding over several axes, in real float32 arithmetic.

A head's channels are pairs of neighbours, and each pair turns by an angle that grows with the token's position along
one axis (Su et al., "RoFormer", 2021). The angles are computed on the host in float64, where no accelerator has to
have that type, and only their cosines and sines, rounded to float32, are ever on a device.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from diffsynth.core.parallel.sequence import SequenceParallel

# Tables kept by one model: training over buckets of sizes must not collect them without end.
_TABLES_KEPT = 4

# How far from zero the positions reach whose angles are on a device before a call has said what it needs: a picture of
# 2,048 pixels counted from its centre and a prompt after it lie within, as does a video counted from zero.
_REACH = 1024

Tables = tuple[Tensor, Tensor]
"""Cosines and sines."""

Layout = TypeVar("Layout", bound=Hashable)
Grid = tuple[int, ...]
TextAndPictures = tuple[tuple[int, ...], tuple[tuple[int, int], ...], bool]
"""Lengths of texts, (rows, columns) of pictures, and whether these are spread as far out as the first."""
PictureAndText = tuple[tuple[int, int], int, int]
"""(rows, columns) of a picture, the tokens that it is filled up to, and those of a prompt."""


def _of_axis(positions: Tensor, dim: int, theta: float) -> Tensor:
    """Cosines and sines of an axis' positions, float32 on the host, (2, rows, dim)."""
    exponents = torch.arange(0, dim, 2, dtype=torch.float64, device="cpu") / dim
    angle = torch.outer(positions.to("cpu", torch.float64), theta**-exponents).repeat_interleave(2, dim=-1)
    return torch.stack([angle.cos().float(), angle.sin().float()])


def _over_grid(axes: Sequence[Tensor]) -> Tensor:
    """Of the tables of each axis those of the grid that they span: (2, tokens, 1, channels of all axes)."""
    # Of one axis at a time, which the others repeat: a grid has far more tokens than its axes have rows together.
    rows = [axis.shape[1] for axis in axes]
    spread = [
        axis.view(2, *[1] * number, -1, *[1] * (len(rows) - number - 1), axis.shape[-1]).expand(2, *rows, -1)
        for number, axis in enumerate(axes)
    ]
    return torch.cat(spread, dim=-1).flatten(1, -2).unsqueeze(2)


class AxisTables:
    """The cosines and sines of each axis by position, computed once and sent to each device once.

    A grid's tables are laid out on the device from these, so that a step of a new size computes no angle. Cosines and
    sines are float32, each (tokens, 1, sum(dims)), every number twice, once for either channel of its pair, as
    `core.fused.normed_and_rotated` takes them.

    Args:
        dims: channels of a head that turn with each axis; even.
        theta: base of the geometric series of frequencies.
    """

    def __init__(self, dims: Sequence[int], theta: float = 10000.0) -> None:
        self.dims, self._theta = tuple(dims), theta
        self._known: dict[torch.device, list[Tensor]] = {}

    def build(self, device: torch.device, reach: int = _REACH) -> list[Tensor]:
        """Has the device hold the positions from ``-reach`` to before ``reach`` at least; the table of each axis, with
        position 0 in its middle."""
        tables = self._known.get(device)
        if tables is None or tables[0].shape[1] < 2 * reach:
            # A table made within inference mode could never again take part in training.
            with torch.inference_mode(False):
                along = torch.arange(-reach, reach, device="cpu")
                tables = self._known[device] = [_of_axis(along, dim, self._theta).to(device) for dim in self.dims]
        return tables  # not what is kept: another thread may have put less in its place

    def grid(self, positions: Sequence[Sequence[int]], device: torch.device) -> Tensor:
        """Cosines and sines, (2, tokens, 1, sum(dims)), of a grid's tokens, row by row, with these positions along its
        axes, ranges or any others."""
        return _over_grid([self._rows(number, axis, device) for number, axis in enumerate(positions)])

    def diagonal(self, positions: Sequence[int], device: torch.device) -> Tensor:
        """The same of tokens in a row that have the same position on all axes."""
        return torch.cat([self._rows(axis, positions, device) for axis in range(len(self.dims))], dim=-1).unsqueeze(2)

    def _rows(self, axis: int, positions: Sequence[int], device: torch.device) -> Tensor:
        furthest = max(map(abs, positions), default=0)
        table = self.build(device, max(_REACH, 1 << furthest.bit_length()))[axis]
        zero = table.shape[1] // 2
        if isinstance(positions, range):
            return table[:, zero + positions.start : zero + positions.stop]
        return table[:, zero + torch.tensor(positions, device=device, dtype=torch.int64)]


class Rotary(ABC, Generic[Layout]):
    """The tables of tokens that are laid out in some way, built once for each layout and device.

    Not a module: the tables are no weights, and a model that is built on the meta device has none to fill.

    Args:
        dims, theta: as of `AxisTables`.
    """

    def __init__(self, dims: Sequence[int], theta: float = 10000.0) -> None:
        self.axes = AxisTables(dims, theta)
        self._kept: dict[tuple[Hashable, torch.device], Tables] = {}

    def tables(self, layout: Layout, device: torch.device) -> Tables:
        """(cos, sin) for tokens laid out so; shapes as of `AxisTables`."""
        return self._built_once(layout, device, lambda: self._make(layout, device))

    @abstractmethod
    def _make(self, layout: Layout, device: torch.device) -> Tensor:
        """Both as one tensor, (2, tokens, 1, sum(dims))."""

    def warm_up(self, device: torch.device) -> None:
        """Has the device hold the angles that most tables are made of."""
        self.axes.build(device)

    def _built_once(self, key: Hashable, device: torch.device, make: Callable[[], Tensor]) -> Tables:
        """The tables of `key` on the device, where `make` makes them; the oldest go where there are too many."""
        if (key, device) not in self._kept:
            while len(self._kept) >= _TABLES_KEPT:
                del self._kept[next(iter(self._kept))]
            with torch.inference_mode(False):  # as above
                cos, sin = make().to(device)
            self._kept[key, device] = cos, sin
        return self._kept[key, device]


class AxialRotary(Rotary[Grid]):
    """Grids counted from zero; their layout is how many rows they have along each axis."""

    def _make(self, layout: Grid, device: torch.device) -> Tensor:
        return self.axes.grid([range(rows) for rows in layout], device)


class TextAndPicturesRotary(Rotary[TextAndPictures]):
    """The tokens of texts, followed by those of pictures.

    Each picture has its number as the position on the first axis, and rows and columns counted from its centre. Every
    text starts where the largest picture ends, with the same position on all axes. Where pictures are spread, all reach
    as far as the first: their rows and columns stand at positions of its own, some left out by a smaller picture, and
    some taken several times by a larger one.

    Args:
        last_before_first: the last picture has the number -1, and texts start behind the number of the others too, as
            a picture has it that is taken apart into layers.
    """

    def __init__(self, dims: Sequence[int], last_before_first: bool = False) -> None:
        super().__init__(dims)
        self._last_before_first = last_before_first

    def _make(self, layout: TextAndPictures, device: torch.device) -> Tensor:
        text_lengths, grids, spread = layout
        start, numbers = max(length // 2 for grid in grids for length in grid), list(range(len(grids)))
        if self._last_before_first:
            start, numbers = max(start, len(grids) - 1), [*numbers[:-1], -1]
        parts = [self.axes.diagonal(range(start, start + length), device) for length in text_lengths]
        centred: list[list[Sequence[int]]] = [
            [range(-(length - length // 2), length // 2) for length in grid] for grid in grids
        ]
        for number, axes in zip(numbers, centred, strict=True):
            if spread:
                axes = [_spread(first, len(axis)) for first, axis in zip(centred[0], axes, strict=True)]
            parts.append(self.axes.grid([range(number, number + 1), *axes], device))
        return torch.cat(parts, dim=1)


def _spread(positions: Sequence[int], length: int) -> Sequence[int]:
    """So many of the positions, from the first to the last. Rounded as the models' authors do, in float32."""
    if length == len(positions):
        return positions
    places = torch.linspace(0, len(positions) - 1, length, device="cpu").long()
    return [positions[place] for place in places.tolist()]


class PictureAndTextRotary(Rotary[PictureAndText]):
    """A picture's tokens, filled up to a length, followed by those of a prompt, which its fillings are part of.

    The prompt's tokens stand at 1, 2 and so on along the first axis; the picture stands after them there, and has its
    rows and columns on the others. Tokens that fill the picture up are at the origin; those of the prompt go on.
    """

    def _make(self, layout: PictureAndText, device: torch.device) -> Tensor:
        (rows, columns), picture_length, text_length = layout
        after = range(text_length + 1, text_length + 2)
        of_picture = self.axes.grid([after, range(rows), range(columns)], device)
        at_origin = self.axes.diagonal([0] * (picture_length - rows * columns), device)
        of_text = self.axes.grid([range(1, text_length + 1), range(1), range(1)], device)
        return torch.cat([of_picture, at_origin, of_text], dim=1)


class RotaryOfOwnTokens(Rotary[Layout]):
    """The rows of the rotary tables that belong to this device's tokens; on the device there are no others."""

    def __init__(self, rotary: Rotary[Layout], sequence: SequenceParallel) -> None:
        super().__init__(rotary.axes.dims)
        self._rotary, self._sequence = rotary, sequence

    def tables(self, layout: Layout, device: torch.device) -> Tables:
        """(cos, sin) of this device's part of the tokens; takes what the whole rotary embedding takes.

        Raises:
            RuntimeError: another number of tokens was shared out.
        """
        part, lengths = self._sequence.part, tuple(self._sequence.lengths)
        return self._built_once((layout, part.start, lengths), device, lambda: self._make(layout, device))

    def _make(self, layout: Layout, device: torch.device) -> Tensor:
        part, length = self._sequence.part, sum(self._sequence.lengths)
        cos, sin = self._rotary.tables(layout, torch.device("cpu"))
        if cos.shape[0] != length:
            raise RuntimeError(f"tables for {cos.shape[0]} tokens, but {length} are shared out")
        return torch.stack([cos[part], sin[part]])

    def warm_up(self, device: torch.device) -> None:
        """Nothing: the tables of all tokens are made on the host."""
