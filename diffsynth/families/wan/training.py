"""How Wan is trained: on clips with prompts, and what else a model takes, by the units of a generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from PIL import Image
from torch import Tensor, nn

from diffsynth.core.data.media_dataset import PLACE, MediaDataset
from diffsynth.diffusion.conditions import Call, Contribution, asked_of, combined
from diffsynth.diffusion.training.adapter import TrainingAdapter, frame_size, media_dataset
from diffsynth.diffusion.training.arguments import Flag, names, trained_name
from diffsynth.diffusion.training.errors import TrainingError
from diffsynth.diffusion.training.runner import Inputs, Sample
from diffsynth.diffusion.training.tasks import KEPT
from diffsynth.families.wan.camera import ORIGIN, SPEED
from diffsynth.models.wan_video_vace import Vace
from diffsynth.utils.data import save_video
from diffsynth.utils.frames import video_from_frames

if TYPE_CHECKING:
    from diffsynth.pipelines.wan_video import WanVideoPipeline

# Of a generation, with what stands for nothing. --extra_inputs names those that the rows of a data set give.
DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(("input_image", "end_image", "control_video", "reference_image", "camera_control_direction")),
    **dict.fromkeys(("vace_video", "vace_video_mask", "vace_reference_image", "input_video")),
    "denoising_strength": 1.0,
    "camera_control_speed": SPEED,
    "camera_control_origin": ORIGIN,
    "vace_scale": 1.0,
}
EXTRA_INPUTS = (
    *("input_image", "end_image", "control_video", "reference_image"),
    *("camera_control_direction", "camera_control_speed"),
    *("vace_video", "vace_video_mask", "vace_reference_image"),
)
# Where a row has no column for them, they are the clip's own first and last frame.
_OF_CLIP = {"input_image": 0, "end_image": -1}
_PICTURES = (*_OF_CLIP, "reference_image", "vace_reference_image")

# How the tensors of a sample are called: channels beside the latents, inputs of the DiT by `INPUT` and their name.
CHANNELS, INPUT = "channels", "input_"
VACE_CONTEXT, BEFORE = "vace_context", "before"


class WanTraining(TrainingAdapter["WanVideoPipeline"]):
    """A clip as latents, its prompt as features, the network's call on the two, and a video to look at."""

    extra_inputs = EXTRA_INPUTS
    flags = (
        Flag("--num_frames", type=int, default=81, help="4k + 1; of a shorter video as many as it has."),
        Flag("--audio_processor_path", instead="leave it out: this pipeline reads no sound"),
        Flag("--min_timestep_boundary", type=float, default=0.0, help="Part of the schedule to train on:"),
        Flag("--max_timestep_boundary", type=float, default=1.0, help="0 to 0.417, 0.417 to 1 for A14B."),
        Flag("--framewise_decoding", action="store_true", help="Decode validation videos frame by frame."),
    )
    defaults: ClassVar = {"use_gradient_checkpointing": True}

    def media(self) -> MediaDataset:
        args, multiple = self.args, 2 * self.pipe.pixels
        return media_dataset(args, frame_size(args, num_frames=args.num_frames, multiple=multiple, frames_step=4))

    def encode(self, sample: Sample, cfg_scale: float = 1.0) -> Inputs:
        frames = next(sample[key] for key in names(self.args.data_file_keys) if key in sample)
        width, height = frames[0].size
        video = video_from_frames(frames, height=height, width=width, num_frames=len(frames))
        latents = self.pipe.encode_video(video, progress_bar_cmd=iter)
        extras = encoded_extras(self.pipe, sample, frames, names(self.args.extra_inputs))
        if BEFORE in extras:  # a generation makes them too
            latents = torch.cat([extras.pop(BEFORE), latents], dim=2)
        return {"latents": latents, **extras, **self.texts(sample, cfg_scale)}

    def velocity(
        self, network: nn.Module, latents: Tensor, timestep: Tensor, inputs: Inputs, branch: str, **given: Any
    ) -> Tensor:
        if (kept := inputs.get(KEPT)) is not None:
            kept = kept.to(latents)
            latents = torch.lerp(latents, inputs["latents"].to(latents), kept)
            timestep = timestep.unsqueeze(1) * (1 - kept.amax(dim=(1, 3, 4)))
        if CHANNELS in inputs:
            latents = torch.cat([latents, inputs[CHANNELS].to(latents)], dim=1)
        given |= {name.removeprefix(INPUT): value for name, value in inputs.items() if name.startswith(INPUT)}
        if VACE_CONTEXT in inputs:
            of_vace = trained_name(self.args).startswith("vace")
            vace, dit = (network, self.pipe.dit) if of_vace else (self.pipe.vace, network)
            # What encoded the context has asked for both.
            assert self.pipe.dit is not None
            assert vace is not None
            assert dit is not None
            given["guide"] = Vace({self.pipe.dit: vace}, inputs[VACE_CONTEXT].float(), whole=True)
            network = dit
        return super().velocity(network, latents, timestep, inputs, branch, **given)

    def noise(self, seed: int, rand_device: str, latents: Tensor) -> Tensor:
        _, _, frames, height, width = latents.shape
        pixels = self.pipe.pixels
        return self.pipe.draw_noise(seed, rand_device, pixels * height, pixels * width, 4 * (frames - 1) + 1)

    def render(self, path: Path | None) -> None:
        args = self.args
        video: Any = self.pipe(
            args.validation_prompt, seed=args.seed, height=args.height or 480, width=args.width or 832,
            num_frames=args.num_frames, num_inference_steps=args.validation_inference_steps,
            framewise_decoding=args.framewise_decoding,
        )  # fmt: skip
        if path is not None:
            save_video(video, path.with_suffix(".mp4"), fps=15, quality=5)


def encoded_extras(
    pipe: WanVideoPipeline, sample: Mapping[str, Any], frames: Sequence[Image.Image], extra_inputs: Sequence[str]
) -> dict[str, Tensor]:
    """What the named columns of a sample contribute, by the names above.

    Args:
        frames: the clip that the network is to make.

    Raises:
        TrainingError: the row lacks a column, or what it gives does not fit the clip or the model.
    """
    own = [name for name in extra_inputs if name in DEFAULTS]  # a task may have others
    if pipe.dit is None:  # it is not computed with, but says what it takes
        if not own:
            return {}
        raise TrainingError(f"--extra_inputs {','.join(own)}: name the dit's file among the models too")
    width, height = frames[0].size
    asked = {**DEFAULTS, **{name: _given(sample, name, frames) for name in own}}
    call = Call(pipe, "training", asked, None, height, width, len(frames), {}, iter)
    try:
        return _tensors(combined([unit.prepare(call) for unit in asked_of(pipe.conditions, call)]))
    except (ValueError, RuntimeError) as error:
        raise TrainingError(f"{sample.get(PLACE, 'a sample')}: {error}") from error


def _given(sample: Mapping[str, Any], name: str, frames: Sequence[Image.Image]) -> Any:
    value = sample.get(name)
    if value in (None, ""):
        if name in _OF_CLIP:
            return frames[_OF_CLIP[name]]
        raise TrainingError(f"{sample.get(PLACE, 'a sample')}: no column {name!r}, which --extra_inputs names")
    if name == "camera_control_speed":
        return float(value)
    if name == "camera_control_direction":
        return value
    if isinstance(value, str):
        raise TrainingError(
            f"{sample.get(PLACE, 'a sample')}: {name!r} is a name, {value!r}; name the column in --data_file_keys too"
        )
    if name in _PICTURES:
        return value[0].resize(frames[0].size, Image.Resampling.BICUBIC)
    return list(value[: len(frames)])


def _tensors(given: Contribution) -> dict[str, Tensor]:
    inputs = dict(given.inputs)
    guide = inputs.pop("guide", None)
    tensors = {f"{INPUT}{name}": value for name, value in inputs.items()}
    named = {
        CHANNELS: given.channels,
        KEPT: None if given.kept is None else given.kept[0],
        VACE_CONTEXT: None if guide is None else guide.context,
        BEFORE: given.before,
    }
    return tensors | {name: value for name, value in named.items() if value is not None}
