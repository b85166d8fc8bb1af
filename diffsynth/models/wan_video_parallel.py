"""How Wan's networks are cut across devices: DiT and VACE along their tokens, the VAE, which Qwen-Image shares, along
its tiles.

Every device has all weights. Tokens are shared out before the patch embedding and put together after the head; in
between, only self-attention looks at the tokens of other devices. The prompt's keys and values are whole on each, since
its tokens look at all of the prompt. VACE's tokens are cut as those of the DiT beside it, whose rotary tables it gets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from diffsynth.core.parallel.sequence import SequenceParallel
from diffsynth.models.layers import cut_into_patches
from diffsynth.models.rotary import RotaryOfOwnTokens
from diffsynth.models.tiles import Tile
from diffsynth.models.wan_video_dit import WanModel
from diffsynth.models.wan_video_vace import VaceWanModel
from diffsynth.models.wan_video_vae import WanVideoVAE


def heads(network: WanModel | VaceWanModel | WanVideoVAE) -> int | None:
    """Of its attention, which are shared out among devices; None of a VAE, whose tiles are."""
    return None if isinstance(network, WanVideoVAE) else network.blocks[0].self_attn.num_heads


def cut(network: WanModel | VaceWanModel | WanVideoVAE, sequence: SequenceParallel) -> None:
    """From now on each device computes its part, and gets the whole velocity, latents or video; of VACE its own hints.

    Its weights, its type, LoRA and memory control stay as they are. The forward has to be called on all devices of the
    sequence alike, and a VAE's `encode` and `decode` on all devices where they are `shared`.
    """
    if isinstance(network, WanVideoVAE):
        share_tiles(network, sequence)
        return
    if isinstance(network, VaceWanModel):
        share_patches(network.vace_patch_embedding, sequence)
    else:
        _cut_dit(network, sequence)
    for block in network.blocks:
        block.self_attn.attend = sequence.attend


def _cut_dit(dit: WanModel, sequence: SequenceParallel) -> None:
    def own_tokens(tokens: Tensor) -> Tensor:
        sequence.share_out(tokens.shape[1])
        return tokens[:, sequence.part]

    def own_frames(timestep: Tensor, tokens: int) -> tuple[Tensor, tuple[int, ...]]:
        start, stop = sequence.part.start, sequence.part.stop
        first = min(start // tokens, timestep.shape[1] - 1)
        last = max(first, (stop - 1) // tokens)
        lengths = (
            max(0, min(stop, (frame + 1) * tokens) - max(start, frame * tokens)) for frame in range(first, last + 1)
        )
        return timestep[:, first : last + 1], tuple(lengths)

    def put_together(head: nn.Module, given: tuple[object, ...], tokens: Tensor) -> Tensor:
        return sequence.gather(tokens)

    if dit.ref_conv is None and dit.control_adapter is None:
        share_patches(dit.patch_embedding, sequence)
    else:  # others join the tokens, so they are embedded whole
        dit.own_tokens = own_tokens
    dit.own_frames = own_frames
    dit.head.register_forward_hook(put_together)
    dit.rotary = RotaryOfOwnTokens(dit.rotary, sequence)


def share_patches(embedding: nn.Conv3d, sequence: SequenceParallel) -> None:
    """From now on the embedding is given this device's patches alone, as latents of a column of patches."""

    def take_own(embedding: nn.Conv3d, given: tuple[Tensor]) -> tuple[Tensor]:
        patches = cut_into_patches(given[0], embedding.kernel_size).flatten(2, 4)
        sequence.share_out(patches.shape[2])
        return (patches[:, :, sequence.part].flatten(2, 3),)

    embedding.register_forward_pre_hook(take_own)


def share_tiles(vae: WanVideoVAE, sequence: SequenceParallel) -> None:
    """From now on each device computes some of the tiles where they are `shared`; of one tile alone, each makes all."""
    group = sequence.mesh.world

    def over_tiles(compute: Callable[[Sequence[Tile]], Tensor], tiles: list[Tile]) -> Tensor:
        return compute(tiles) if len(tiles) < 2 else group.sum(compute(tiles[group.index :: group.size]))

    vae.over_tiles = over_tiles
