"""What videos, pictures and masks contribute to a generation of Wan: all units, in the order of their channels.

A first frame, and a last one, come in as the DiT takes them: as a mask and latents beside the noisy ones (Wan2.1-I2V,
FLF2V, Wan2.2-I2V, Fun), as features of CLIP (those of Wan2.1), or as a first latent frame that stays as it is
(Wan2.2-TI2V-5B). VACE is given a video to change, a mask of where, and pictures of what is to be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from diffsynth.core.caller import check_number
from diffsynth.diffusion.conditions import NOTHING, Call, Condition, Contribution, Start
from diffsynth.diffusion.loaded_model import unwrapped
from diffsynth.families.wan.camera import DIRECTIONS, camera_rays
from diffsynth.models.wan_video_vace import Vace
from diffsynth.utils.frames import check_frames, check_picture, first_frames, video_from_frames, video_from_picture

if TYPE_CHECKING:
    from diffsynth.pipelines.wan_video import WanVideoPipeline

FUSED_CHANNELS = 48  # of the latents of Wan2.2-TI2V-5B, whose DiT takes no others
MASK = 4  # channels of a mask: one for each frame of a latent frame
FEATURES = (257, 1280)  # of a picture, as the published CLIP makes them: tokens and their width
CELL = 8  # pixels of a latent cell, on each axis: 64 channels of VACE's mask


@dataclass(frozen=True)
class Layout:
    """What a DiT takes besides noisy latents and a prompt, told from the network."""

    control: int  # channels of a control video's latents; 0 where the DiT takes none
    frames: int  # channels that tell of a first and a last frame; 0 where it takes none
    mask: bool  # whether some of them say which frames are known
    features: bool  # whether it attends to what CLIP sees
    needs_last_frame: bool  # whether it tells a first from a last picture
    reference: bool  # whether it takes a reference picture
    camera: bool  # whether it takes a camera's path
    keeps_first_frame: bool  # whether a first frame is a part of the latents

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


def video_of(call: Call[WanVideoPipeline], frames: Sequence[Image.Image], name: str) -> Tensor:
    """(1, 3, F, H, W) in [-1, 1] of frames that have the size asked for; raises ValueError, which calls them `name`."""
    return video_from_frames(frames, height=call.height, width=call.width, num_frames=call.num_frames, name=name)


def still(call: Call[WanVideoPipeline], picture: Image.Image) -> Tensor:
    """A picture, resized, as a video of one frame, (1, 3, 1, H, W) in [-1, 1]."""
    return video_from_picture(picture, height=call.height, width=call.width)


class InputVideo(Start["WanVideoPipeline"]):
    """`input_video`."""

    keywords = ("input_video",)

    def prepare(self, call: Call[WanVideoPipeline]) -> Contribution:
        return Contribution(latents=encoded(call, video_of(call, call.asked["input_video"], "input_video")))


class ControlVideo(Condition["WanVideoPipeline"]):
    """`control_video`: edges, poses or depths to follow, as latents beside the noisy ones."""

    keywords = ("control_video",)

    def check_left_out(self, call: Call[WanVideoPipeline]) -> None:
        if Layout.of(call.pipe).control:
            raise ValueError("this model follows a control_video, and none was given: pass frames of edges or poses")

    def check(self, call: Call[WanVideoPipeline]) -> None:
        if not Layout.of(call.pipe).control:
            raise ValueError(
                "control_video: this model follows none; load one that does, such as PAI/Wan2.1-Fun-V1.1-1.3B-Control"
            )
        check_frames(call.asked["control_video"], call.num_frames, "control_video")
        call.needs("vae")

    def prepare(self, call: Call[WanVideoPipeline]) -> Contribution:
        return Contribution(channels=encoded(call, video_of(call, call.asked["control_video"], "control_video")))


class ReferencePicture(Condition["WanVideoPipeline"]):
    """`reference_image`: who or what is to be seen, as a frame of latents before the video's."""

    keywords = ("reference_image",)

    def check(self, call: Call[WanVideoPipeline]) -> None:
        check_picture("reference_image", call.asked["reference_image"])
        if not Layout.of(call.pipe).reference:
            raise ValueError(
                "reference_image: this model takes none; load one that does, such as PAI/Wan2.1-Fun-V1.1-1.3B-Control"
            )
        call.needs("vae")

    def prepare(self, call: Call[WanVideoPipeline]) -> Contribution:
        latents = encoded(call, still(call, call.asked["reference_image"]))
        return Contribution(inputs={"reference": latents[:, :, 0]})


class CameraPath(Condition["WanVideoPipeline"]):
    """`camera_control_direction`, at `camera_control_speed` from `camera_control_origin`: rays of each pixel."""

    keywords = ("camera_control_direction",)

    def check_left_out(self, call: Call[WanVideoPipeline]) -> None:
        if Layout.of(call.pipe).camera:
            raise ValueError(f"this model moves a camera: pass camera_control_direction, one of {_named()}")

    def check(self, call: Call[WanVideoPipeline]) -> None:
        direction = call.asked["camera_control_direction"]
        if not Layout.of(call.pipe).camera:
            raise ValueError(
                "camera_control_direction: this model moves no camera; load one that does, such as "
                "PAI/Wan2.1-Fun-V1.1-1.3B-Control-Camera"
            )
        if direction not in DIRECTIONS:
            raise ValueError(f"camera_control_direction={direction!r}: expected one of {_named()}")

    def prepare(self, call: Call[WanVideoPipeline]) -> Contribution:
        path = (call.asked[f"camera_control_{name}"] for name in ("direction", "speed", "origin"))
        rays = camera_rays(*path, height=call.height, width=call.width, num_frames=call.num_frames)
        return Contribution(inputs={"camera": rays.to(call.pipe.device)})


def _named() -> str:
    return ", ".join(map(repr, DIRECTIONS))


class FrameChannels(Condition["WanVideoPipeline"]):
    """`input_image` and `end_image` as channels: which frames are known, and the latents of a video of only those."""

    keywords = ("input_image", "end_image")

    def is_asked(self, call: Call[WanVideoPipeline]) -> bool:
        return super().is_asked(call) or bool(Layout.of(call.pipe).frames)

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

    def prepare(self, call: Call[WanVideoPipeline]) -> Contribution:
        layout = Layout.of(call.pipe)
        if not layout.frames:
            return NOTHING
        height, width, num_frames = call.height, call.width, call.num_frames
        first, last = call.asked["input_image"], call.asked["end_image"]
        if first is None:
            grid = call.pipe.latent_shape(height, width, num_frames)[1:]
            return Contribution(channels=torch.zeros(1, layout.frames, *grid, device=call.pipe.device))
        start = still(call, first)
        if layout.camera and not layout.mask:  # one frame's latents, and none after them
            latents = encoded(call, start)
            latents = F.pad(latents, (0, 0, 0, 0, 0, (num_frames - 1) // 4))
            return Contribution(channels=latents)
        video = torch.zeros(1, 3, num_frames, height, width)
        video[:, :, :1] = start
        if last is not None:
            video[:, :, -1:] = still(call, last)
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


class PictureFeatures(Condition["WanVideoPipeline"]):
    """What CLIP sees of `reference_image`, or else of `input_image` and `end_image`, for the DiT to attend to."""

    def is_asked(self, call: Call[WanVideoPipeline]) -> bool:
        return Layout.of(call.pipe).features

    def check(self, call: Call[WanVideoPipeline]) -> None:
        if _seen(call):
            call.needs("image_encoder")

    def prepare(self, call: Call[WanVideoPipeline]) -> Contribution:
        pipe, pictures = call.pipe, _seen(call)
        if not pictures:
            return Contribution(inputs={"picture": torch.zeros(1, *_features(pipe), device=pipe.device)})
        pipe.load_models_to_device(["image_encoder"])
        videos = [still(call, picture) for picture in pictures]
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


class KeptFirstFrame(Condition["WanVideoPipeline"]):
    """`input_image` as the first latent frame, which no step changes; `FrameChannels` has checked it."""

    keywords = ("input_image",)

    def is_asked(self, call: Call[WanVideoPipeline]) -> bool:
        return super().is_asked(call) and Layout.of(call.pipe).keeps_first_frame

    def prepare(self, call: Call[WanVideoPipeline]) -> Contribution:
        first = encoded(call, still(call, call.asked["input_image"]))
        latents = F.pad(first, (0, 0, 0, 0, 0, (call.num_frames - 1) // 4))
        mask = torch.zeros_like(latents[:, :1])
        mask[:, :, 0] = 1
        return Contribution(kept=(mask, latents))


class VaceContext(Condition["WanVideoPipeline"]):
    """`vace_video`, `vace_video_mask`, `vace_reference_image` and `vace_scale`."""

    keywords = ("vace_video", "vace_video_mask", "vace_reference_image")

    def check(self, call: Call[WanVideoPipeline]) -> None:
        asked = call.asked
        check_number("vace_scale", asked["vace_scale"])
        given = [name for name in self.keywords if asked[name] is not None]
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

    def prepare(self, call: Call[WanVideoPipeline]) -> Contribution:
        asked = call.asked
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
    frames = call.asked["vace_video"]
    if frames is None:
        return torch.zeros(1, 3, call.num_frames, call.height, call.width, device=call.pipe.device)
    return video_of(call, first_frames(frames, call.num_frames), "vace_video").to(call.pipe.device)


def _mask(call: Call[WanVideoPipeline]) -> Tensor:
    """1 where the video is to be made anew, (1, 3, F, H, W)."""
    frames, count = call.asked["vace_video_mask"], call.num_frames
    if frames is None:
        return torch.ones(1, 3, count, call.height, call.width, device=call.pipe.device)
    whole = [frames] * count if isinstance(frames, Image.Image) else first_frames(frames, count)
    return (video_of(call, whole, "vace_video_mask").to(call.pipe.device) + 1) / 2


def _reference(call: Call[WanVideoPipeline], picture: Image.Image) -> Tensor:
    height, width = call.height, call.width
    video = video_from_frames([picture], height=height, width=width, num_frames=1, name="vace_reference_image")
    return encoded(call, video)


def _mask_channels(mask: Tensor) -> Tensor:
    """(1, F, H, W) to (1, 64, T, h, w): the pixels of a cell as channels, of the frame in a latent frame's middle."""
    cells = F.pixel_unshuffle(mask.transpose(0, 1), CELL).transpose(0, 1).unsqueeze(0)
    frames, length = mask.shape[1], (mask.shape[1] + 3) // 4
    nearest = ((torch.arange(length, device=mask.device) + 0.5) * frames / length).long()
    return cells.index_select(2, nearest)


CONDITIONS: tuple[Condition[WanVideoPipeline], ...] = (
    InputVideo(),
    ControlVideo(),
    FrameChannels(),
    PictureFeatures(),
    KeptFirstFrame(),
    ReferencePicture(),
    CameraPath(),
    VaceContext(),
)
