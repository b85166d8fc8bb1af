"""Rotary position embedding over several axes, in real float32 arithmetic.

A head's channels are pairs of neighbours, and each pair turns by an angle that grows with the token's position along
one axis (Su et al., "RoFormer", 2021). The angles are computed on the host in float64, where no accelerator has to
have that type, and only their cosines and sines, rounded to float32, are ever on a device.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from diffsynth.core.parallel.sequence import SequenceParallel

# Tables kept by one model: training over buckets of sizes must not collect them without end.
_TABLES_KEPT = 4

# Positions along an axis whose angles are on a device before a call has said what it needs: a picture of 2,048 pixels
# counted from its centre and a prompt after it lie within, as does a video counted from zero.
_FIRST_POSITION, _POSITIONS_AHEAD = -128, 1024

Tables = tuple[Tensor, Tensor]
"""Cosines and sines."""

Layout = TypeVar("Layout", bound=Hashable, contravariant=True)
Grid = tuple[int, ...]
TextAndPictures = tuple[tuple[int, ...], tuple[tuple[int, int], ...], bool]
"""Lengths of texts, (rows, columns) of pictures, and whether these are spread as far out as the first."""


class Rotary(Protocol[Layout]):
    """The tables of tokens that are laid out in some way."""

    def tables(self, layout: Layout, device: torch.device) -> Tables:
        """(cos, sin) for tokens laid out so; shapes as of `rotary_tables`."""

    def warm_up(self, device: torch.device) -> None:
        """Has the device hold the angles that most tables are made of."""


def rotary_tables(positions: Sequence[Tensor], dims: Sequence[int], theta: float = 10000.0) -> Tables:
    """Cosines and sines for the tokens of a grid, in the grid's row-major order.

    Args:
        positions: along each axis, the positions of its rows; 1D.
        dims: channels of a head that turn with each axis; even.
        theta: base of the geometric series of frequencies.

    Returns:
        cosines and sines, float32 on the host, each (tokens, 1, sum(dims)), every number twice, once for either
        channel of its pair, as `core.fused.normed_and_rotated` takes them.
    """
    return _over_grid([_of_axis(axis, dim, theta) for axis, dim in zip(positions, dims, strict=True)])


def _of_axis(positions: Tensor, dim: int, theta: float) -> Tables:
    """Cosines and sines of an axis' positions, float32 on the host, each (rows, dim)."""
    exponents = torch.arange(0, dim, 2, dtype=torch.float64, device="cpu") / dim
    angle = torch.outer(positions.to("cpu", torch.float64), theta**-exponents).repeat_interleave(2, dim=-1)
    return angle.cos().float(), angle.sin().float()


def _over_grid(axes: Sequence[Tables]) -> Tables:
    """Of the tables of each axis those of the grid that they span: (tokens, 1, channels of all axes)."""
    # Of one axis at a time, which the others repeat: a grid has far more tokens than its axes have rows together.
    rows = [len(cos) for cos, _ in axes]

    def joined(parts: Sequence[Tensor]) -> Tensor:
        spread = [
            part.view([1] * number + [-1] + [1] * (len(rows) - number - 1) + [part.shape[-1]]).expand(*rows, -1)
            for number, part in enumerate(parts)
        ]
        return torch.cat(spread, dim=-1).flatten(0, -2).unsqueeze(1)

    return joined([cos for cos, _ in axes]), joined([sin for _, sin in axes])


class AxisTables:
    """The cosines and sines of each axis by position, computed once and sent to each device once.

    A grid's tables are laid out on the device from these, so that a step of a new size computes no angle.
    """

    def __init__(self, dims: Sequence[int], theta: float = 10000.0) -> None:
        self.dims, self._theta = tuple(dims), theta
        self._ranges: dict[torch.device, range] = {}
        self._tables: dict[torch.device, list[Tables]] = {}

    def build(self, device: torch.device, positions: range = range(_FIRST_POSITION, _POSITIONS_AHEAD)) -> None:
        """Has the device hold these positions at least."""
        known = self._ranges.get(device)
        if known and known.start <= positions.start and positions.stop <= known.stop:
            return
        start = min(positions.start, _FIRST_POSITION)
        stop = _POSITIONS_AHEAD
        while stop < positions.stop:
            stop *= 2
        # A table made within inference mode could never again take part in training.
        with torch.inference_mode(False):
            along = torch.arange(start, stop, device="cpu")
            host = [_of_axis(along, dim, self._theta) for dim in self.dims]
            self._tables[device] = [(cos.to(device), sin.to(device)) for cos, sin in host]
        self._ranges[device] = range(start, stop)

    def grid(self, positions: Sequence[Sequence[int]], device: torch.device) -> Tables:
        """The tables of a grid with these positions along its axes, ranges or any others; see `rotary_tables`."""
        for axis in positions:
            self.build(device, range(min(axis), max(axis) + 1))
        return _over_grid([self._rows(number, axis, device) for number, axis in enumerate(positions)])

    def diagonal(self, positions: range, device: torch.device) -> Tables:
        """The tables of tokens in a row that have the same position on all axes."""
        self.build(device, positions)
        parts = [self._rows(number, positions, device) for number in range(len(self.dims))]
        cos, sin = (torch.cat(each, dim=-1).unsqueeze(1) for each in zip(*parts, strict=True))
        return cos, sin

    def _rows(self, axis: int, positions: Sequence[int], device: torch.device) -> Tables:
        first = self._ranges[device].start
        cos, sin = self._tables[device][axis]
        if isinstance(positions, range):
            rows = slice(positions.start - first, positions.stop - first)
            return cos[rows], sin[rows]
        chosen = torch.tensor([position - first for position in positions], device=device)
        return cos[chosen], sin[chosen]


class KeptTables:
    """Tables by what they are made for, on each device; the oldest go where there are too many.

    Not a module: the tables are no weights, and a model that is built on the meta device has none to fill.
    """

    def __init__(self) -> None:
        self._tables: dict[tuple[Hashable, torch.device], Tables] = {}

    def get(self, key: Hashable, device: torch.device, make: Callable[[], Tables]) -> Tables:
        """The (cos, sin) of `key` on the device, where `make` makes them if they are not there yet."""
        if (key, device) not in self._tables:
            while len(self._tables) >= _TABLES_KEPT:
                del self._tables[next(iter(self._tables))]
            with torch.inference_mode(False):  # as above
                cos, sin = make()
                self._tables[key, device] = cos.to(device), sin.to(device)
        return self._tables[key, device]


class AxialRotary:
    """The tables of grids counted from zero, built once for each shape and device."""

    def __init__(self, dims: Sequence[int]) -> None:
        self.axes = AxisTables(dims)
        self._kept = KeptTables()

    def tables(self, layout: Grid, device: torch.device) -> Tables:
        """(cos, sin) for a grid with that many rows along each axis; see `rotary_tables`."""
        return self._kept.get(layout, device, lambda: self.axes.grid([range(rows) for rows in layout], device))

    def warm_up(self, device: torch.device) -> None:
        self.axes.build(device)


class TextAndPicturesRotary:
    """The tables of the tokens of texts followed by those of pictures, built once for each lengths, shapes and device.

    Each picture has its number as the position on the first axis, and rows and columns counted from its centre. Every
    text starts where the largest picture ends, with the same position on all axes.

    Args:
        last_before_first: the last picture has the number -1, and texts start behind the number of the others too, as
            a picture has it that is taken apart into layers.
    """

    def __init__(self, dims: Sequence[int], last_before_first: bool = False) -> None:
        self.axes, self._last_before_first = AxisTables(dims), last_before_first
        self._kept = KeptTables()

    def tables(self, layout: TextAndPictures, device: torch.device) -> Tables:
        """(cos, sin) for texts of so many tokens and pictures of (rows, columns); shapes as of `rotary_tables`.

        Where they are spread, all pictures reach as far as the first: their rows and columns stand at positions of its
        own, some left out by a smaller picture, and some taken several times by a larger one.
        """
        return self._kept.get(layout, device, lambda: self._make(*layout, device))

    def warm_up(self, device: torch.device) -> None:
        self.axes.build(device)

    def _make(
        self, text_lengths: tuple[int, ...], grids: tuple[tuple[int, int], ...], spread: bool, device: torch.device
    ) -> Tables:
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
        return torch.cat([cos for cos, _ in parts]), torch.cat([sin for _, sin in parts])


def _spread(positions: Sequence[int], length: int) -> Sequence[int]:
    """So many of the positions, from the first to the last. Rounded as the models' authors do, in float32."""
    if length == len(positions):
        return positions
    places = torch.linspace(0, len(positions) - 1, length, device="cpu").long()
    return [positions[place] for place in places.tolist()]


class PictureAndTextRotary:
    """The tables of a picture's tokens followed by those of a prompt, built once for each length, grid and device.

    The prompt's tokens stand at 1, 2 and so on along the first axis; the picture stands after them there, and has its
    rows and columns on the others. Tokens that fill the picture up are at the origin; those of the prompt go on.
    """

    def __init__(self, dims: Sequence[int], theta: float) -> None:
        self.dims, self.theta = tuple(dims), theta
        self._kept = KeptTables()

    def tables(self, grid: tuple[int, int], picture_length: int, text_length: int, device: torch.device) -> Tables:
        """(cos, sin) for a picture of (rows, columns), filled up to `picture_length` tokens, and a prompt of
        `text_length`, which its fillings are part of; shapes as of `rotary_tables`."""
        key = (grid, picture_length, text_length)
        return self._kept.get(key, device, lambda: self._make(*key))

    def _make(self, grid: tuple[int, int], picture_length: int, text_length: int) -> Tables:
        rows, columns = (torch.arange(length, device="cpu") for length in grid)
        start, after = torch.zeros(1, device="cpu"), torch.tensor([text_length + 1], device="cpu")
        at_origin = rotary_tables([start.expand(picture_length - len(rows) * len(columns)), *[start] * 2], *self._rest)
        of_picture = rotary_tables([after, rows, columns], *self._rest)
        of_text = rotary_tables([torch.arange(1, text_length + 1, device="cpu"), start, start], *self._rest)
        cos, sin = zip(of_picture, at_origin, of_text, strict=True)
        return torch.cat(cos), torch.cat(sin)

    @property
    def _rest(self) -> tuple[tuple[int, ...], float]:
        return self.dims, self.theta


_HOST = torch.device("cpu")


class RotaryOfOwnTokens(Rotary[Layout]):
    """The rows of the rotary tables that belong to this device's tokens; on the device there are no others."""

    def __init__(self, rotary: Rotary[Layout], sequence: SequenceParallel) -> None:
        self._rotary, self._sequence = rotary, sequence
        self._kept = KeptTables()

    def tables(self, layout: Layout, device: torch.device) -> Tables:
        """(cos, sin) of this device's part of the tokens; takes what the whole rotary embedding takes.

        Raises:
            RuntimeError: another number of tokens was shared out.
        """
        part, length = self._sequence.part, sum(self._sequence.lengths)

        def make() -> Tables:
            cos, sin = self._rotary.tables(layout, _HOST)
            if cos.shape[0] != length:
                raise RuntimeError(f"tables for {cos.shape[0]} tokens, but {length} are shared out")
            return cos[part].clone(), sin[part].clone()

        return self._kept.get((layout, part.start, part.stop, length), device, make)

    def warm_up(self, device: torch.device) -> None:
        """Nothing: the tables of all tokens are made on the host."""
