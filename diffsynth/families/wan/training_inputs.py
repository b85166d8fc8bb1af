"""What a sample of a training gives its network besides the clip: as in a generation, by the same units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from diffsynth.core.data.media_dataset import PLACE
from diffsynth.diffusion.conditions import Call, Contribution, contributed
from diffsynth.diffusion.training.errors import TrainingError
from diffsynth.diffusion.training.tasks import KEPT
from diffsynth.families.wan.camera import ORIGIN, SPEED
from diffsynth.models.wan_video_vace import Vace

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


def encoded_extras(
    pipe: Any, sample: Mapping[str, Any], frames: Sequence[Image.Image], extra_inputs: Sequence[str]
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
    call = Call(pipe, "training", asked, None, height, width, len(frames), {}, iter)  # type: ignore[arg-type]
    try:
        for condition in pipe.conditions:
            condition.check(call)
        return _tensors(contributed(pipe.conditions, call))
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


def call_dit(
    pipe: Any,
    network: nn.Module,
    trained: str,
    latents: Tensor,
    timestep: Tensor,
    inputs: Mapping[str, Tensor],
    context: Tensor,
    **checkpointing: bool,
) -> Tensor:
    """The velocity of noisy latents (B, C, T, H, W) at timesteps (B,), whichever network is trained.

    Args:
        network: what is trained, maybe in the wrapper of an engine.
        trained: its name in the pipeline.
        inputs: of a batch, as `encoded_extras` names them, and `latents`, the clean ones.
    """
    kept = inputs.get(KEPT)
    if kept is not None:
        kept = kept.to(latents)
        latents = torch.lerp(latents, inputs["latents"].to(latents), kept)
        timestep = timestep.unsqueeze(1) * (1 - kept.amax(dim=(1, 3, 4)))
    if CHANNELS in inputs:
        latents = torch.cat([latents, inputs[CHANNELS].to(latents)], dim=1)
    extra: dict[str, Any] = {
        name.removeprefix(INPUT): value for name, value in inputs.items() if name.startswith(INPUT)
    }
    if VACE_CONTEXT in inputs:
        of_vace = trained.startswith("vace")
        vace = network if of_vace else pipe.vace
        extra["guide"] = Vace({pipe.dit: vace}, inputs[VACE_CONTEXT].float(), whole=True)
        network = pipe.dit if of_vace else network
    return network(latents, timestep, context, **extra, **checkpointing)
