"""What videos, pictures and masks contribute to a generation of Wan: all units, in the order of their channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffsynth.diffusion.conditions import Call, Condition, Contribution
from diffsynth.families.wan.camera import DIRECTIONS, camera_rays
from diffsynth.families.wan.first_frame import FrameChannels, KeptFirstFrame, PictureFeatures
from diffsynth.families.wan.layout import Layout, encoded
from diffsynth.families.wan.vace import VaceContext
from diffsynth.utils.frames import check_frames, check_picture, video_from_frames, video_from_picture

if TYPE_CHECKING:
    from diffsynth.pipelines.wan_video import WanVideoPipeline


class InputVideo:
    """`input_video`: the generation starts from it, noised as much as `denoising_strength` says."""

    def check(self, call: Call[WanVideoPipeline]) -> None:
        strength = call.asked["denoising_strength"]
        if call.asked["input_video"] is not None:
            call.needs("vae")
        elif strength < 1:
            raise ValueError(f"denoising_strength={strength} keeps part of an input_video, and none was given")

    def prepare(self, call: Call[WanVideoPipeline]) -> Contribution | None:
        frames = call.asked["input_video"]
        if frames is None:
            return None
        video = video_from_frames(frames, height=call.height, width=call.width, num_frames=call.num_frames)
        return Contribution(latents=encoded(call, video))


class ControlVideo:
    """`control_video`: edges, poses or depths to follow, as latents beside the noisy ones."""

    def check(self, call: Call[WanVideoPipeline]) -> None:
        frames = call.asked["control_video"]
        takes = bool(Layout.of(call.pipe).control)
        if frames is None:
            if takes:
                raise ValueError(
                    "this model follows a control_video, and none was given: pass frames of edges or poses"
                )
            return
        if not takes:
            raise ValueError(
                "control_video: this model follows none; load one that does, such as PAI/Wan2.1-Fun-V1.1-1.3B-Control"
            )
        check_frames(frames, call.num_frames, "control_video")
        call.needs("vae")

    def prepare(self, call: Call[WanVideoPipeline]) -> Contribution | None:
        frames = call.asked["control_video"]
        if frames is None:
            return None
        height, width, num_frames = call.height, call.width, call.num_frames
        video = video_from_frames(frames, height=height, width=width, num_frames=num_frames, name="control_video")
        return Contribution(channels=encoded(call, video))


class ReferencePicture:
    """`reference_image`: who or what is to be seen, as a frame of latents before the video's."""

    def check(self, call: Call[WanVideoPipeline]) -> None:
        picture = call.asked["reference_image"]
        if picture is None:
            return
        check_picture("reference_image", picture)
        if not Layout.of(call.pipe).reference:
            raise ValueError(
                "reference_image: this model takes none; load one that does, such as PAI/Wan2.1-Fun-V1.1-1.3B-Control"
            )
        call.needs("vae")

    def prepare(self, call: Call[WanVideoPipeline]) -> Contribution | None:
        picture = call.asked["reference_image"]
        if picture is None:
            return None
        height, width = call.height, call.width
        latents = encoded(call, video_from_picture(picture, height=height, width=width))
        return Contribution(inputs={"reference": latents[:, :, 0]})


class CameraPath:
    """`camera_control_direction`, at `camera_control_speed` from `camera_control_origin`: rays of each pixel."""

    def check(self, call: Call[WanVideoPipeline]) -> None:
        direction, takes = call.asked["camera_control_direction"], Layout.of(call.pipe).camera
        if direction is None:
            if takes:
                raise ValueError(f"this model moves a camera: pass camera_control_direction, one of {_named()}")
            return
        if not takes:
            raise ValueError(
                "camera_control_direction: this model moves no camera; load one that does, such as "
                "PAI/Wan2.1-Fun-V1.1-1.3B-Control-Camera"
            )
        if direction not in DIRECTIONS:
            raise ValueError(f"camera_control_direction={direction!r}: expected one of {_named()}")

    def prepare(self, call: Call[WanVideoPipeline]) -> Contribution | None:
        asked = call.asked
        if asked["camera_control_direction"] is None:
            return None
        height, width, num_frames = call.height, call.width, call.num_frames
        rays = camera_rays(
            asked["camera_control_direction"],
            asked["camera_control_speed"],
            asked["camera_control_origin"],
            height=height,
            width=width,
            num_frames=num_frames,
        )
        return Contribution(inputs={"camera": rays.to(call.pipe.device)})


def _named() -> str:
    return ", ".join(map(repr, DIRECTIONS))


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
