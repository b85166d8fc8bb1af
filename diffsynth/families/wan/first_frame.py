"""A first frame, and a last one: what they add to what the DiT is given.

By what the DiT takes: mask and latents beside the noisy ones (Wan2.1-I2V, FLF2V, Wan2.2-I2V, Fun), features of CLIP
(those of Wan2.1), or a first latent frame that stays as it is (Wan2.2-TI2V-5B).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from diffsynth.diffusion.conditions import Call, Contribution
from diffsynth.families.wan.layout import Layout, encoded
from diffsynth.utils.frames import check_picture, video_from_picture

if TYPE_CHECKING:
    from diffsynth.pipelines.wan_video import WanVideoPipeline

FEATURES = (257, 1280)  # of a picture, as the published CLIP makes them: tokens and their width


class FrameChannels:
    """`input_image` and `end_image` as channels: which frames are known, and the latents of a video of only those."""

    def check(self, call: Call[WanVideoPipeline]) -> None:
        first, last = call.asked["input_image"], call.asked["end_image"]
        layout = Layout.of(call.pipe)
        for name, picture in (("input_image", first), ("end_image", last)):
            if picture is not None:
                check_picture(name, picture)
        if last is not None:
            _check_last(layout, first is not None, call.num_frames)
        if first is None and layout.needs_first_frame:
            raise ValueError("this model starts from a picture, and none was given: pass input_image=a PIL image")
        if first is not None and not (layout.frames or layout.keeps_first_frame):
            raise ValueError(
                "input_image: this model starts from no picture; load one that does, such as Wan-AI/Wan2.1-I2V-14B-480P"
            )
        if layout.needs_last_frame and last is None:
            raise ValueError("this model goes from a first to a last frame: pass end_image=a PIL image as well")
        if first is not None:
            call.needs("vae")

    def prepare(self, call: Call[WanVideoPipeline]) -> Contribution | None:
        layout = Layout.of(call.pipe)
        if not layout.frames:
            return None
        height, width, num_frames = call.height, call.width, call.num_frames
        first, last = call.asked["input_image"], call.asked["end_image"]
        if first is None:
            grid = call.pipe.latent_shape(height, width, num_frames)[1:]
            return Contribution(channels=torch.zeros(1, layout.frames, *grid, device=call.pipe.device))
        start = video_from_picture(first, height=height, width=width)
        if layout.camera and not layout.mask:  # one frame's latents, and none after them
            latents = encoded(call, start)
            latents = torch.nn.functional.pad(latents, (0, 0, 0, 0, 0, (num_frames - 1) // 4))
            return Contribution(channels=latents)
        video = torch.zeros(1, 3, num_frames, height, width)
        video[:, :, :1] = start
        if last is not None:
            video[:, :, -1:] = video_from_picture(last, height=height, width=width)
        latents = encoded(call, video)
        if not layout.mask:
            return Contribution(channels=latents)
        return Contribution(channels=torch.cat([_known(latents, num_frames, last is not None), latents], dim=1))


def _check_last(layout: Layout, has_first: bool, num_frames: int) -> None:
    if not layout.mask:
        raise ValueError(
            "end_image: this model ends at no picture; load one that does, such as Wan-AI/Wan2.1-FLF2V-14B-720P"
        )
    if not has_first:
        raise ValueError("end_image needs an input_image to come from")
    if num_frames < 2:
        raise ValueError(f"end_image needs frames between it and input_image, and num_frames is {num_frames}")


def _known(latents: Tensor, num_frames: int, last: bool) -> Tensor:
    """1 where a frame is given, (1, 4, T, h, w): a latent frame's four are channels, and the first stands for four."""
    known = torch.zeros(num_frames + 3, device=latents.device)
    known[:4] = 1
    if last:
        known[-1] = 1
    return known.view(-1, 4).t()[None, :, :, None, None].expand(-1, -1, -1, *latents.shape[3:])


class PictureFeatures:
    """What CLIP sees of `reference_image`, or else of `input_image` and `end_image`, for the DiT to attend to."""

    def check(self, call: Call[WanVideoPipeline]) -> None:
        if _seen(call) and Layout.of(call.pipe).features:
            call.needs("image_encoder")

    def prepare(self, call: Call[WanVideoPipeline]) -> Contribution | None:
        if not Layout.of(call.pipe).features:
            return None
        height, width = call.height, call.width
        pipe, pictures = call.pipe, _seen(call)
        if not pictures:
            return Contribution(inputs={"picture": torch.zeros(1, *_features(pipe), device=pipe.device)})
        pipe.load_models_to_device(["image_encoder"])
        videos = [video_from_picture(picture, height=height, width=width) for picture in pictures]
        assert pipe.image_encoder is not None  # `check` has asked for it
        features = pipe.image_encoder(torch.cat([video[:, :, 0] for video in videos]).to(pipe.device))
        return Contribution(inputs={"picture": features.flatten(0, 1).unsqueeze(0)})


def _seen(call: Call[WanVideoPipeline]) -> list[Image.Image]:
    if call.asked["reference_image"] is not None:
        return [call.asked["reference_image"]]
    pictures = [call.asked["input_image"]]
    if Layout.of(call.pipe).needs_last_frame:
        pictures.append(call.asked["end_image"])
    return [picture for picture in pictures if picture is not None]


def _features(pipe: WanVideoPipeline) -> tuple[int, int]:
    if pipe.image_encoder is None:
        return FEATURES
    _, tokens, width = pipe.image_encoder.pos_embedding.shape
    return tokens, width


class KeptFirstFrame:
    """`input_image` as the first latent frame, which no step changes."""

    def check(self, call: Call[WanVideoPipeline]) -> None:
        """`FrameChannels` has."""

    def prepare(self, call: Call[WanVideoPipeline]) -> Contribution | None:
        picture = call.asked["input_image"]
        if picture is None or not Layout.of(call.pipe).keeps_first_frame:
            return None
        height, width, num_frames = call.height, call.width, call.num_frames
        first = encoded(call, video_from_picture(picture, height=height, width=width))
        latents = torch.nn.functional.pad(first, (0, 0, 0, 0, 0, (num_frames - 1) // 4))
        mask = torch.zeros_like(latents[:, :1])
        mask[:, :, 0] = 1
        return Contribution(kept=(mask, latents))
