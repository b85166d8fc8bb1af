"""How the Wan networks are cut across devices: the DiT along its tokens, the VAE along its tiles.

Every device has all weights. In the DiT, tokens are shared out before the patch embedding and put together after the
head; in between, only self-attention looks at the tokens of other devices. The prompt's keys and values are whole on
each, since its tokens look at all of the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from diffsynth.core.parallel.group import Group
from diffsynth.core.parallel.sequence import SequenceParallel
from diffsynth.models.rotary import AxialRotary, KeptTables
from diffsynth.models.tiles import tiles_over
from diffsynth.models.wan_video_dit import WanModel
from diffsynth.models.wan_video_vae import PIXELS, Progress, WanVideoVAE, check_latents, check_video

_HOST = torch.device("cpu")


def cut_dit(dit: WanModel, sequence: SequenceParallel) -> None:
    """From now on each device computes its part of the tokens, and gets the whole velocity.

    Its weights, its type, LoRA and memory control stay as they are. The forward has to be called on all devices of the
    sequence alike.
    """

    def take_own_tokens(embedding: nn.Conv3d, given: tuple[Tensor]) -> tuple[Tensor]:
        patches = cut_into_patches(given[0], dit.patch_size)
        sequence.share_out(patches.shape[2])
        return (patches[:, :, sequence.part].flatten(2, 3),)

    def put_together(head: nn.Module, given: tuple[Tensor, Tensor], tokens: Tensor) -> Tensor:
        return sequence.gather(tokens)

    dit.patch_embedding.register_forward_pre_hook(take_own_tokens)
    dit.head.register_forward_hook(put_together)
    dit.rotary = RotaryOfOwnTokens(dit.rotary, sequence)
    for block in dit.blocks:
        block.self_attn.attend = sequence.attend


def cut_into_patches(latents: Tensor, patch_size: Sequence[int]) -> Tensor:
    """(B, C, T, H, W) to patches in the order of the tokens, (B, C, S, frames, rows, columns) of `patch_size`.

    With the axes S and frames joined, they are again latents, of a column of patches, whose tokens are the same.
    """
    cut = [part for whole, patch in zip(latents.shape[2:], patch_size, strict=True) for part in (whole // patch, patch)]
    cells = latents.reshape(*latents.shape[:2], *cut).permute(0, 1, 2, 4, 6, 3, 5, 7)
    return cells.flatten(2, 4)


class RotaryOfOwnTokens:
    """The rows of the rotary tables that belong to this device's tokens; on the device there are no others."""

    def __init__(self, rotary: AxialRotary, sequence: SequenceParallel) -> None:
        self._rotary, self._sequence = rotary, sequence
        self._kept = KeptTables()

    def tables(self, grid: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor]:
        """(cos, sin) of this device's part of a grid; see `rotary_tables`.

        Raises:
            RuntimeError: another sequence was shared out.
        """
        if prod(grid) != sum(self._sequence.lengths):
            raise RuntimeError(f"tables for {prod(grid)} tokens, but {sum(self._sequence.lengths)} are shared out")
        part = self._sequence.part

        def make() -> tuple[Tensor, Tensor]:
            cos, sin = self._rotary.tables(grid, _HOST)
            return cos[part].clone(), sin[part].clone()

        return self._kept.get((grid, part.start, part.stop), device, make)


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
) -> Tensor:
    """`WanVideoVAE.decode`, each device decoding some of the tiles; the video is the same on all.

    Where there is one tile only, each device decodes it itself.
    """
    tiles = tiles_over(*latents.shape[3:], tile_size, tile_stride, PIXELS) if tiled else []
    if len(tiles) < 2:
        return vae.decode(latents, framewise=framewise)
    check_latents(latents, vae.z_dim)
    own = progress(tiles[group.index :: group.size])
    return group.sum(vae.decode_tiles(latents, own, framewise=framewise)).clamp_(-1, 1)


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
) -> Tensor:
    """`WanVideoVAE.encode`, each device encoding some of the tiles; the latents are the same on all."""
    check_video(video, framewise)
    height, width = video.shape[3] // PIXELS, video.shape[4] // PIXELS
    tiles = tiles_over(height, width, tile_size, tile_stride) if tiled else []
    if len(tiles) < 2:
        return vae.encode(video, framewise=framewise)
    own = progress(tiles[group.index :: group.size])
    return group.sum(vae.encode_tiles(video, own, framewise=framewise))
