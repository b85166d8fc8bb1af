"""How the VAE of Wan, which Qwen-Image shares, is cut across devices: along its tiles. Every device has all weights."""

from __future__ import annotations

from torch import Tensor

from diffsynth.core.parallel.group import Group
from diffsynth.models.tiles import tiles_over
from diffsynth.models.wan_video_vae import Progress, WanVideoVAE, check_latents, check_video


def decode_across(
    vae: WanVideoVAE,
    group: Group,
    latents: Tensor,
    *,
    tiled: bool = False,
    tile_size: tuple[int, int] = (30, 52),
    tile_stride: tuple[int, int] = (15, 26),
    framewise: bool = False,
    progress: Progress = iter,
    room: int = 0,
) -> Tensor:
    """`WanVideoVAE.decode`, each device decoding some of the tiles; the video is the same on all.

    `room` is that of each device. Where there is one tile only, each device decodes it itself.
    """
    height, width = latents.shape[3:]
    tiles = tiles_over(height, width, tile_size, tile_stride, vae.pixels) if tiled else []
    if len(tiles) < 2:
        return vae.decode(latents, framewise=framewise)
    check_latents(latents, vae.z_dim)
    own = tiles[group.index :: group.size]
    decoded = vae.decode_tiles(latents, own, framewise=framewise, progress=progress, room=room)
    return group.sum(decoded).clamp_(-1, 1)


def encode_across(
    vae: WanVideoVAE,
    group: Group,
    video: Tensor,
    *,
    tiled: bool = False,
    tile_size: tuple[int, int] = (30, 52),
    tile_stride: tuple[int, int] = (15, 26),
    framewise: bool = False,
    progress: Progress = iter,
    room: int = 0,
) -> Tensor:
    """`WanVideoVAE.encode`, each device encoding some of the tiles; the latents are the same on all."""
    check_video(video, framewise, vae.pixels, vae.image_channels)
    height, width = video.shape[3] // vae.pixels, video.shape[4] // vae.pixels
    tiles = tiles_over(height, width, tile_size, tile_stride) if tiled else []
    if len(tiles) < 2:
        return vae.encode(video, framewise=framewise)
    own = tiles[group.index :: group.size]
    return group.sum(vae.encode_tiles(video, own, framewise=framewise, progress=progress, room=room))
