"""What a Wan DiT takes besides noisy latents and a prompt, told from the network; and the VAE for whatever has to be
encoded for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from diffsynth.diffusion.conditions import Call
from diffsynth.diffusion.loaded_model import unwrapped

if TYPE_CHECKING:
    from diffsynth.pipelines.wan_video import WanVideoPipeline

FUSED_CHANNELS = 48  # of the latents of Wan2.2-TI2V-5B, whose DiT takes no others
MASK = 4  # channels of a mask: one for each frame of a latent frame


@dataclass(frozen=True)
class Layout:
    """Channels beside the noisy latents, and other inputs.

    Attributes:
        control: channels of a control video's latents; 0 where the DiT takes none.
        frames: channels that tell of a first and a last frame; 0 where it takes none.
        mask: whether some of them say which frames are known.
        features: whether it attends to what CLIP sees.
        needs_last_frame: whether it tells a first from a last picture.
        reference: whether it takes a reference picture.
        camera: whether it takes a camera's path.
        keeps_first_frame: whether a first frame is a part of the latents.
    """

    control: int
    frames: int
    mask: bool
    features: bool
    needs_last_frame: bool
    reference: bool
    camera: bool
    keeps_first_frame: bool

    @staticmethod
    def of(pipe: WanVideoPipeline) -> Layout:
        """Of the pipeline's DiT, which is there; both experts of A14B are alike."""
        assert pipe.dit is not None
        dit = unwrapped(pipe.dit)
        latents = dit.out_dim
        beside = dit.in_dim - latents
        control = latents if beside >= 2 * latents else 0
        return Layout(
            control=control,
            frames=beside - control,
            mask=beside - control == latents + MASK,
            features=dit.img_emb is not None,
            needs_last_frame=dit.img_emb is not None and dit.img_emb.emb_pos is not None,
            reference=dit.ref_conv is not None,
            camera=dit.control_adapter is not None,
            keeps_first_frame=beside == 0 and latents == FUSED_CHANNELS,
        )

    @property
    def needs_first_frame(self) -> bool:
        """Whether the DiT makes nothing without one."""
        return bool(self.frames) and not self.control


def encoded(call: Call[WanVideoPipeline], video: Tensor) -> Tensor:
    """Latents of a video (1, 3, F, H, W) in [-1, 1], by the VAE as the call would have it."""
    return call.pipe.encode_video(video, **call.tiles, progress_bar_cmd=call.progress_bar_cmd)
