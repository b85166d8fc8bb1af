"""Cuts a picture into overlapping tiles and blends what was made of them, to the weights that DiffSynth-Studio uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from numbers import Integral
from typing import NamedTuple, TypedDict

import torch
from torch import Tensor


class Tiling(TypedDict, total=False):
    """How an autoencoder goes over a picture or a video: keywords of its `encode` and `decode`."""

    tiled: bool
    tile_size: tuple[int, int]
    tile_stride: tuple[int, int]
    framewise: bool


class Tile(NamedTuple):
    """A rectangle in cells, and where its cells fade into those of its neighbours."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    weight: Tensor | None  # (height, width) of the tile in output pixels; None: the tile is the whole picture

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns, in cells."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]

    def to(self, device: torch.device) -> Tile:
        """The same with its weight on the device."""
        return self if self.weight is None else self._replace(weight=self.weight.to(device))

    def cut(self, picture: Tensor, scale: int = 1) -> Tensor:
        """This tile's part of ``picture`` (..., height, width), a view; ``scale`` pixels of it make a cell."""
        rows, columns = (slice(start * scale, end * scale) for start, end in (self.rows, self.columns))
        return picture[..., rows, columns]

    def add(self, values: Tensor, part: Tensor) -> None:
        """Adds ``values``, faded at the edges, to ``part``, this tile's part of a picture that starts as zeros."""
        if self.weight is None:
            part.copy_(values)
        else:
            part.addcmul_(values, self.weight.to(part.device, part.dtype))


def whole(height: int, width: int) -> Tile:
    """One tile for the whole picture."""
    return Tile((0, height), (0, width), None)


def check_tiles(size: tuple[int, int], stride: tuple[int, int]) -> None:
    """Raises ValueError unless both are (rows, columns) in cells and 1 <= stride <= size."""
    pairs: dict[str, object] = {"tile_size": size, "tile_stride": stride}
    for name, pair in pairs.items():
        if not isinstance(pair, Sequence) or [isinstance(cells, Integral) for cells in pair] != [True, True]:
            raise ValueError(f"{name}={pair!r}: expected (rows, columns) in latent cells, whole numbers")
    if not (1 <= stride[0] <= size[0] and 1 <= stride[1] <= size[1]):
        raise ValueError(
            f"tile_stride {stride} with tile_size {size}: each must be (rows, columns) in latent cells, and a stride "
            "at least 1 and at most the size, or cells between the tiles would be missing; make tile_stride smaller"
        )


def tiles_over(height: int, width: int, size: tuple[int, int], stride: tuple[int, int], scale: int = 1) -> list[Tile]:
    """Tiles of ``size`` every ``stride`` cells, row by row, for a picture of ``height`` x ``width`` cells.

    All sizes are (rows, columns) in cells. ``scale`` is how many pixels of the output a cell has on each axis: the
    weights are as fine as the output. A pixel counts by the smaller of its two axes' ramps, and all its weights are 1
    in sum. ValueError unless 1 <= stride <= size.
    """
    check_tiles(size, stride)
    rows, columns = spans(height, size[0], stride[0]), spans(width, size[1], stride[1])
    if len(rows) == len(columns) == 1:
        return [whole(height, width)]
    row_ramps, column_ramps = ramps(rows, size[0] - stride[0], scale), ramps(columns, size[1] - stride[1], scale)
    weights = [torch.minimum(row[:, None], column) for row in row_ramps for column in column_ramps]
    tiles = [Tile(*place, weight) for place, weight in zip(product(rows, columns), weights, strict=True)]
    total = torch.zeros(height * scale, width * scale)
    for tile, weight in zip(tiles, weights, strict=True):
        tile.cut(total, scale).add_(weight)
    return [tile._replace(weight=weight / tile.cut(total, scale)) for tile, weight in zip(tiles, weights, strict=True)]


def batches(tiles: Sequence[Tile], most: Callable[[Tile], int]) -> list[list[Tile]]:
    """Tiles of one size in as few lists as hold at most ``most`` of such a tile, and these as even as can be.

    The largest come first. Where no list may have more than one, the tiles keep their order.
    """
    alike: dict[tuple[int, int], list[Tile]] = {}
    for tile in tiles:
        alike.setdefault(tile.size, []).append(tile)
    if all(most(same[0]) <= 1 for same in alike.values()):
        return [[tile] for tile in tiles]
    found = []
    for same in sorted(alike.values(), key=lambda same: same[0].size, reverse=True):
        count = -(-len(same) // max(1, most(same[0])))
        found += [same[len(same) * part // count : len(same) * (part + 1) // count] for part in range(count)]
    return found


def spans(length: int, size: int, stride: int) -> list[tuple[int, int]]:
    """(start, end) of the tiles on one axis. The last ends with the picture, so it may be smaller."""
    last = max(0, -(-(length - size) // stride))
    return [(index * stride, min(index * stride + size, length)) for index in range(last + 1)]


def ramps(spans: Sequence[tuple[int, int]], overlap: int, scale: int) -> list[Tensor]:
    """The weights of each span before they are made 1 in sum, ``scale`` to a cell: up and down over the overlaps.

    Where a span is shorter than both of its ramps, the one that goes down counts.
    """
    rising = torch.arange(1, overlap * scale + 1) / max(overlap * scale, 1)
    found = []
    for index, (start, end) in enumerate(spans):
        ramp = torch.ones((end - start) * scale)
        border = min(len(rising), len(ramp))
        if index > 0:
            ramp[:border] = rising[:border]
        if index < len(spans) - 1 and border:
            ramp[-border:] = rising.flip(0)[-border:]
        found.append(ramp)
    return found
