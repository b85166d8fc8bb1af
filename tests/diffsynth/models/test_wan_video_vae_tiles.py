"""The VAE in tiles: how a picture is cut, how tiles are blended, and what that changes."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from diffsynth.models.qwen_image_vae import QwenImageVAE
from diffsynth.models.tiles import ramps, spans, tiles_over
from diffsynth.models.wan_video_parallel import share_tiles
from diffsynth.models.wan_video_vae import WanVideoVAE

TILES = {"tiled": True, "tile_size": (6, 8), "tile_stride": (3, 4)}


@pytest.fixture(scope="module")
def vae() -> WanVideoVAE:
    torch.manual_seed(0)
    vae = WanVideoVAE(8).eval().requires_grad_(False)
    vae.decoder.head["2"].weight *= 0.2  # nothing reaches the clipping at 1, so that tiles add up
    return vae


@pytest.fixture(scope="module")
def video() -> torch.Tensor:
    return torch.rand(1, 3, 5, 72, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture(scope="module")
def latents() -> torch.Tensor:
    return torch.randn(1, 16, 2, 9, 12, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (60, [(0, 30), (15, 45), (30, 60)]),
        (61, [(0, 30), (15, 45), (30, 60), (45, 61)]),
        (30, [(0, 30)]),
        (31, [(0, 30), (15, 31)]),
        (7, [(0, 7)]),
    ],
)
def test_spans_reach_the_end_once(length, expected):
    assert spans(length, 30, 15) == expected


@pytest.mark.parametrize(("size", "stride"), [(6, 3), (6, 4), (6, 6), (6, 1), (5, 2), (6, 5)])
@pytest.mark.parametrize("scale", [1, 8])
def test_weights_are_one_in_sum_and_never_zero(size, stride, scale):
    total = torch.zeros(17 * scale, 14 * scale)
    for tile in tiles_over(17, 14, (size, size), (stride, stride), scale):
        assert (tile.weight > 0).all()
        tile.cut(total, scale).add_(tile.weight)
    torch.testing.assert_close(total, torch.ones_like(total))


def test_weights_are_linear_over_the_overlap():
    first, second, last = ramps([(0, 6), (3, 9), (6, 8)], overlap=3, scale=1)
    torch.testing.assert_close(first, torch.tensor([1, 1, 1, 1, 2 / 3, 1 / 3]))
    torch.testing.assert_close(second, torch.tensor([1 / 3, 2 / 3, 1, 1, 2 / 3, 1 / 3]))
    torch.testing.assert_close(last, torch.tensor([1 / 3, 2 / 3]))  # shorter than its ramp


def test_where_the_ramps_meet_the_way_down_counts():
    _, middle, _ = ramps([(0, 4), (1, 5), (2, 6)], overlap=3, scale=1)
    torch.testing.assert_close(middle, torch.tensor([1 / 3, 1, 2 / 3, 1 / 3]))


def test_tiles_go_row_by_row():
    tiles = tiles_over(9, 12, (6, 8), (3, 4))
    assert [(tile.rows, tile.columns) for tile in tiles] == [
        ((0, 6), (0, 8)),
        ((0, 6), (4, 12)),
        ((3, 9), (0, 8)),
        ((3, 9), (4, 12)),
    ]


@pytest.mark.parametrize("stride", [(7, 4), (3, 9), (0, 4)])
def test_tiles_that_do_not_overlap(vae, latents, stride):
    with pytest.raises(ValueError, match=r"tile_stride \(\d, \d\) with tile_size \(6, 8\): .*make tile_stride smaller"):
        vae.decode(latents, tiled=True, tile_size=(6, 8), tile_stride=stride)


def test_one_tile_is_the_untiled_result(vae, video, latents):
    assert torch.equal(vae.encode(video, tiled=True), vae.encode(video))
    assert torch.equal(vae.decode(latents, tiled=True), vae.decode(latents))


def blended(parts: list[tuple[slice, slice, torch.Tensor]], shape: torch.Size) -> torch.Tensor:
    """Parts in their places, each weighted by the smaller of its distances to an edge inside the picture, as a share of
    the overlap, which is half of it here; sums divided by weights."""
    values, weights = torch.zeros(shape), torch.zeros(shape)
    for rows, columns, part in parts:
        weight = torch.ones(part.shape)
        for axis, place, length in ((-2, rows, shape[-2]), (-1, columns, shape[-1])):
            count = part.shape[axis]
            ramp, overlap = torch.ones(count), count // 2
            if place.start > 0:
                ramp = torch.minimum(ramp, torch.arange(1, count + 1) / overlap)
            if place.stop < length:
                ramp = torch.minimum(ramp, torch.arange(count, 0, -1) / overlap)
            weight = torch.minimum(weight, ramp[:, None] if axis == -2 else ramp)
        values[..., rows, columns] += part * weight
        weights[..., rows, columns] += weight
    return values / weights


def test_tiles_are_the_parts_alone_blended(vae, video, latents):
    """A picture of 2 x 2 tiles, put together here from its four parts, each encoded and decoded by itself."""
    cells = [(slice(row, row + 6), slice(column, column + 8)) for row in (0, 3) for column in (0, 4)]
    pixels = [tuple(slice(place.start * 8, place.stop * 8) for place in cell) for cell in cells]
    encoded = [(*cell, vae.encode(video[..., pixel[0], pixel[1]])) for cell, pixel in zip(cells, pixels, strict=True)]
    torch.testing.assert_close(vae.encode(video, **TILES), blended(encoded, latents.shape), rtol=0, atol=2e-6)
    decoded = [(*pixel, vae.decode(latents[..., cell[0], cell[1]])) for cell, pixel in zip(cells, pixels, strict=True)]
    torch.testing.assert_close(vae.decode(latents, **TILES), blended(decoded, video.shape), rtol=0, atol=2e-6)


def test_tiled_stays_near_untiled(vae, video, latents):
    """Random weights and tiles of 6 x 8 cells are hard on it: root mean square within 0.15 and 0.5 of the spread."""
    for work, given, bound in ((vae.encode, video, 0.15), (vae.decode, latents, 0.5)):
        whole = work(given)
        difference = (work(given, **TILES) - whole).square().mean().sqrt()
        assert 0 < difference < bound * whole.std()


def test_framewise_in_tiles(vae, latents):
    frames = [vae.decode(frame, **TILES) for frame in latents.split(1, dim=2)]
    assert torch.equal(vae.decode(latents, framewise=True, **TILES), torch.cat(frames, dim=2))


def test_progress_is_given_the_tiles(vae, video, latents):
    seen = []

    def progress(tiles):
        seen.append(len(tiles))
        for tile in tiles:
            yield tile
            seen.append("done")

    vae.encode(video, progress=progress, **TILES)
    vae.decode(latents, progress=progress, **TILES)
    assert seen == [4, *["done"] * 4] * 2
    seen.clear()
    vae.encode(video, progress=progress)
    vae.decode(latents, progress=progress)
    assert not seen


class Launches(TorchDispatchMode):
    """Counts operators that compute something; each is a launch at least on a device with kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.count += not function.is_view
        return function(*arguments, **(keywords or {}))


@pytest.mark.parametrize("network", [WanVideoVAE, QwenImageVAE])
@pytest.mark.parametrize("work", ["encode", "decode"])
def test_tiles_together_take_the_launches_of_one(network, work):
    torch.manual_seed(0)
    vae = network(8).eval().requires_grad_(False)
    frames = 5 if network is WanVideoVAE else 1
    given = torch.rand(1, 3, frames, 48, 64) if work == "encode" else torch.randn(1, 16, (frames + 3) // 4, 6, 8)
    tiles = {"tiled": True, "tile_size": (4, 4), "tile_stride": (2, 2)}  # 2 x 3 of one size
    launches, results = {}, {}
    for room in (0, 1 << 40):
        with torch.no_grad(), Launches() as counted:
            results[room] = getattr(vae, work)(given, room=room, **tiles)
        launches[room] = counted.count / 6
    torch.testing.assert_close(results[1 << 40], results[0], rtol=0, atol=1e-5)
    assert launches[1 << 40] < launches[0] / 4, launches


def test_as_many_tiles_together_as_there_is_room_for(vae, latents):
    seen = []
    hook = vae.decoder.register_forward_pre_hook(lambda module, given: seen.append(given[0].shape[0]))
    of_one = 16 * 4 * (6 * 8) * (6 * 8) * 8 * 4
    options = {"tiled": True, "tile_size": (6, 6), "tile_stride": (3, 3)}  # 2 x 3, all of 6 x 6 cells
    alone = vae.decode(latents, **options)
    for room, expected in (
        (0, [1] * 6),
        (of_one, [1] * 6),
        (2 * of_one, [2] * 3),
        (4 * of_one, [3] * 2),
        (9 * of_one, [6]),
    ):
        seen.clear()
        torch.testing.assert_close(vae.decode(latents, room=room, **options), alone, rtol=0, atol=1e-5)
        assert seen[:: latents.shape[2]] == expected
    hook.remove()


def test_tiles_of_several_sizes_are_together_by_size(vae, latents):
    seen = []
    hook = vae.decoder.register_forward_pre_hook(lambda module, given: seen.append(tuple(given[0].shape[:4])))
    options = {"tiled": True, "tile_size": (6, 6), "tile_stride": (4, 3)}  # 2 x 3, the last row is smaller
    alone = vae.decode(latents, **options)
    assert len(seen) == 2 * 6
    seen.clear()
    torch.testing.assert_close(vae.decode(latents, room=1 << 40, **options), alone, rtol=0, atol=1e-5)
    assert seen == [(3, 1, 6, 6)] * 2 + [(3, 1, 5, 6)] * 2
    hook.remove()


@dataclass
class One:
    """One of two devices, before what they have is summed."""

    index: int
    size: int = 2

    def sum(self, part: torch.Tensor) -> torch.Tensor:
        return part


def test_each_device_has_its_tiles_together(vae, video, latents):
    options = {"tiled": True, "tile_size": (6, 6), "tile_stride": (3, 3), "room": 1 << 40}  # 2 x 3, all of 6 x 6 cells
    shared = [copy(vae) for _ in range(2)]
    for index, one in enumerate(shared):
        share_tiles(one, SimpleNamespace(mesh=SimpleNamespace(world=One(index))))
    for across, network, given in (("decode", vae.decoder, latents), ("encode", vae.encoder, video)):
        seen = []
        hook = network.register_forward_pre_hook(lambda module, taken, seen=seen: seen.append(taken[0].shape[0]))
        parts = [getattr(one, across)(given, **options, shared=True) for one in shared]
        hook.remove()
        assert set(seen) == {3}
        whole = (vae.decode if network is vae.decoder else vae.encode)(given, **options)
        torch.testing.assert_close(sum(parts), whole, rtol=0, atol=1e-5)
        # Asked by its own user, perhaps on one device alone, it waits for no other.
        assert torch.equal(getattr(shared[1], across)(given, **options), whole)
