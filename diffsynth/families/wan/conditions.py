"""What videos contribute to a generation of Wan."""

from __future__ import annotations

from diffsynth.diffusion.conditions import Call, Condition, Contribution
from diffsynth.utils.frames import video_from_frames


class InputVideo:
    """`input_video`: the generation starts from it, noised as much as `denoising_strength` says."""

    def check(self, call: Call) -> None:
        strength = call.asked["denoising_strength"]
        if call.asked["input_video"] is not None:
            call.needs("vae")
        elif strength < 1:
            raise ValueError(f"denoising_strength={strength} keeps part of an input_video, and none was given")

    def prepare(self, call: Call) -> Contribution | None:
        frames = call.asked["input_video"]
        if frames is None:
            return None
        video = video_from_frames(frames, height=call.height, width=call.width, num_frames=call.num_frames)
        return Contribution(latents=call.pipe.encode_video(video, **call.tiles, progress_bar_cmd=call.progress_bar_cmd))


CONDITIONS: tuple[Condition, ...] = (InputVideo(),)
