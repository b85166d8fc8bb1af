"""How VACE is cut across devices: along its tokens, as the DiT beside it, whose rotary tables it is given."""

from __future__ import annotations

from diffsynth.core.parallel.sequence import SequenceParallel
from diffsynth.models.wan_video_parallel import share_patches
from diffsynth.models.wan_video_vace import VaceWanModel


def heads(vace: VaceWanModel) -> int:
    """Of its attention, which are shared out among devices."""
    return vace.vace_blocks[0].self_attn.num_heads


def cut(vace: VaceWanModel, sequence: SequenceParallel) -> None:
    """From now on each device computes its part of the tokens, and of the hints."""
    share_patches(vace.vace_patch_embedding, sequence)
    for block in vace.vace_blocks:
        block.self_attn.attend = sequence.attend
