"""VACE: a video to change, a mask of where, and pictures of what is to be seen, as the context of its network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from diffsynth.core.caller import check_number
from diffsynth.diffusion.conditions import Call, Contribution
from diffsynth.diffusion.loaded_model import unwrapped
from diffsynth.families.wan.layout import encoded
from diffsynth.models.wan_video_vace import Vace
from diffsynth.utils.frames import check_frames, check_picture, first_frames, video_from_frames

if TYPE_CHECKING:
    from diffsynth.pipelines.wan_video import WanVideoPipeline

KEYWORDS = ("vace_video", "vace_video_mask", "vace_reference_image")
CELL = 8  # pixels of a latent cell, on each axis: 64 channels of the mask


class VaceContext:
    """`vace_video`, `vace_video_mask`, `vace_reference_image` and `vace_scale`."""

    def check(self, call: Call[WanVideoPipeline]) -> None:
        asked = call.asked
        given = [name for name in KEYWORDS if asked[name] is not None]
        if not given:
            return
        check_number("vace_scale", asked["vace_scale"])
        for dit, vace in (("dit", "vace"), ("dit2", "vace2")):
            if getattr(call.pipe, dit) is not None and getattr(call.pipe, vace) is None:
                raise ValueError(
                    f"{given[0]}: the {dit} has no VACE beside it; load a model that has, such as "
                    "Wan-AI/Wan2.1-VACE-14B"
                )
        for name in ("vace_video", "vace_video_mask"):
            if asked[name] is not None and not isinstance(asked[name], Image.Image):
                check_frames(first_frames(asked[name], call.num_frames), call.num_frames, name)
        for picture in _references(asked["vace_reference_image"]):
            check_picture("vace_reference_image", picture)
        call.needs("vae")

    def prepare(self, call: Call[WanVideoPipeline]) -> Contribution | None:
        asked = call.asked
        if all(asked[name] is None for name in KEYWORDS):
            return None
        video, mask = _video(call), _mask(call)
        context = torch.cat(
            [encoded(call, video * (1 - mask)), encoded(call, video * mask), _mask_channels(mask[:, 0])], dim=1
        )
        references = [_reference(call, picture) for picture in _references(asked["vace_reference_image"])]
        if references:
            before = torch.cat(references, dim=2)
            nothing = before.new_zeros(1, context.shape[1] - before.shape[1], *before.shape[2:])
            context = torch.cat([torch.cat([before, nothing], dim=1), context], dim=2)
        pairs = ((call.pipe.dit, call.pipe.vace), (call.pipe.dit2, call.pipe.vace2))
        networks = {unwrapped(dit): vace for dit, vace in pairs if dit is not None and vace is not None}
        return Contribution(
            inputs={"guide": Vace(networks, context, asked["vace_scale"])},
            before=torch.cat(references, dim=2) if references else None,
            with_network={"dit": ("vace",), "dit2": ("vace2",)},
        )


def _references(given: Any) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, (list, tuple)) else [given]


def _video(call: Call[WanVideoPipeline]) -> Tensor:
    frames, num_frames = call.asked["vace_video"], call.num_frames
    height, width = call.height, call.width
    if frames is None:
        return torch.zeros(1, 3, num_frames, height, width, device=call.pipe.device)
    frames = first_frames(frames, num_frames)
    video = video_from_frames(frames, height=height, width=width, num_frames=num_frames, name="vace_video")
    return video.to(call.pipe.device)


def _mask(call: Call[WanVideoPipeline]) -> Tensor:
    """1 where the video is to be made anew, (1, 3, F, H, W)."""
    frames, num_frames = call.asked["vace_video_mask"], call.num_frames
    height, width = call.height, call.width
    if frames is None:
        return torch.ones(1, 3, num_frames, height, width, device=call.pipe.device)
    single = isinstance(frames, Image.Image)
    whole: Sequence[Image.Image] = [frames] * num_frames if single else first_frames(frames, num_frames)
    video = video_from_frames(whole, height=height, width=width, num_frames=num_frames, name="vace_video_mask")
    return (video.to(call.pipe.device) + 1) / 2


def _reference(call: Call[WanVideoPipeline], picture: Image.Image) -> Tensor:
    height, width = call.height, call.width
    video = video_from_frames([picture], height=height, width=width, num_frames=1, name="vace_reference_image")
    return encoded(call, video)


def _mask_channels(mask: Tensor) -> Tensor:
    """(1, F, H, W) to (1, 64, T, h, w): the pixels of a cell as channels, of the frame in a latent frame's middle."""
    cells = torch.nn.functional.pixel_unshuffle(mask.transpose(0, 1), CELL).transpose(0, 1).unsqueeze(0)
    frames, length = mask.shape[1], (mask.shape[1] + 3) // 4
    nearest = ((torch.arange(length, device=mask.device) + 0.5) * frames / length).long()
    return cells.index_select(2, nearest)
