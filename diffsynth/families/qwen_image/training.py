"""How Qwen-Image is trained: on pictures with prompts, and what else a model takes, by the units of a generation.

Pictures to edit are brought to the size of a training's own pictures, which no unit does.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor, nn

from diffsynth.core.data import BadSampleError
from diffsynth.core.data.frames import AS_STORED
from diffsynth.core.data.media_dataset import PLACE, MediaDataset
from diffsynth.diffusion.conditions import Call, Condition, asked_of
from diffsynth.diffusion.guidance import POSITIVE
from diffsynth.diffusion.training.adapter import PictureAdapter, media_dataset
from diffsynth.diffusion.training.arguments import Flag, names, trained_name
from diffsynth.diffusion.training.errors import TrainingError
from diffsynth.diffusion.training.runner import Inputs, Sample
from diffsynth.families.qwen_image import CONTROLNETS
from diffsynth.families.qwen_image.conditions import (
    CONTROL,
    MASKS,
    PROMPTS,
    BlockwiseControl,
    ContextImage,
    ControlNetInput,
    EntityControl,
    LayerInput,
    conditioning,
    edit_pictures,
)
from diffsynth.models.qwen_image_controlnet import Control, Controls, QwenImageBlockWiseControlNet
from diffsynth.models.qwen_image_dit import Entities

if TYPE_CHECKING:
    from diffsynth.pipelines.qwen_image import QwenImagePipeline

IMAGE, EDIT_IMAGE = "image", "edit_image"
EDIT_LATENTS = "edit_latents_"
CONTEXT, LAYER_NUM, LAYER_INPUT = "context_image", "layer_num", "layer_input_image"
FOLLOWED, FOLLOWED_MASK = "blockwise_controlnet_image", "blockwise_controlnet_inpaint_mask"
EXTRA_INPUTS = (CONTEXT, FOLLOWED, FOLLOWED_MASK, PROMPTS, MASKS, LAYER_NUM, LAYER_INPUT)
FILES = (CONTEXT, FOLLOWED, FOLLOWED_MASK, MASKS, LAYER_INPUT)
"""Those that are pictures."""

# How the tensors of a sample are called. Pictures are seen in the order of their units: before the edited ones, after.
BEFORE_EDITED, AFTER_EDITED = "context_latents", "layer_latents"
CONDITIONING, ENTITY_MASKS, ENTITY = "control_latents", "entity_masks", "entity_"


class QwenImageTraining(PictureAdapter["QwenImagePipeline"]):
    """A picture as latents, its prompt as features, those it was edited from, and the network's call on all."""

    extra_inputs = (EDIT_IMAGE, *EXTRA_INPUTS)
    flags = (
        Flag("--validation_edit_image",
             help="The picture that --validation_prompt is to edit; with a comma after each, a list of them."),
        Flag("--zero_cond_t", action="store_true",
             help="Steer pictures to edit by timestep 0, as Qwen-Image-Edit-2511 is."),
    )  # fmt: skip

    def __init__(self, pipe: QwenImagePipeline, args: argparse.Namespace) -> None:
        super().__init__(pipe, args)
        self.edits = EDIT_IMAGE in names(args.extra_inputs)
        if EDIT_IMAGE in names(args.data_file_keys) and not self.edits:
            raise TrainingError(f"--data_file_keys {args.data_file_keys}: give --extra_inputs edit_image as well")
        more = [name for name in names(args.extra_inputs) if name in EXTRA_INPUTS]
        if args.validation_prompt is not None and more:
            raise TrainingError(
                f"--validation_prompt has nothing to give the model as {more[0]}: leave it out, and look at what was "
                "saved"
            )
        self.to_edit = self._validation_pictures(args.validation_edit_image)

    def media(self) -> MediaDataset:
        # As in a generation, pictures to edit keep their proportions, whatever the size of the result.
        stored = replace(AS_STORED, num_frames=1)
        asked, size = names(self.args.extra_inputs), self.size()
        if LAYER_INPUT in asked:
            size = replace(size, mode="RGBA")
        needed = [IMAGE, *(name for name in (EDIT_IMAGE, *FILES) if name in asked)]
        lists = [EDIT_IMAGE, MASKS, *([IMAGE] if LAYER_INPUT in asked else [])]
        return media_dataset(self.args, size, needed=needed, sizes={EDIT_IMAGE: stored}, lists=lists)

    def encode(self, sample: Sample, cfg_scale: float = 1.0) -> Inputs:
        edited = edit_pictures(_first_frames(sample.get(EDIT_IMAGE)), area=self.args.max_pixels)
        texts = self.texts(sample, cfg_scale, **edited.with_prompt())
        extra = names(self.args.extra_inputs)
        made = _first_frames(sample[IMAGE]) if LAYER_INPUT in extra else sample[IMAGE][0]
        latents = self._latents_of(made, sample)
        extras = encoded_extras(self.pipe, sample, (made[0] if isinstance(made, list) else made).size, extra)
        edits = {
            f"{EDIT_LATENTS}{number:02d}": self.pipe.encode_picture(picture, progress_bar_cmd=iter)
            for number, picture in enumerate(edited.shown)
        }
        return {"latents": latents, **texts, **extras, **edits}

    def _latents_of(self, made: Any, sample: Sample) -> Tensor:
        """Those of a picture, or of all layers of one."""
        if not isinstance(made, list):
            return self.pipe.encode_picture(made, progress_bar_cmd=iter)
        if len(made) != int(sample.get(LAYER_NUM, -1)) + 1 or len({one.size for one in made}) > 1:
            raise BadSampleError(
                f"{sample[PLACE]}: image names {len(made)} pictures, expected layer_num + 1 of one size"
            )
        return torch.stack([self.pipe.encode_picture(one, progress_bar_cmd=iter) for one in made], dim=2)

    def velocity(
        self, network: nn.Module, latents: Tensor, timestep: Tensor, inputs: Inputs, branch: str, **given: Any
    ) -> Tensor:
        edited = sorted(name for name in inputs if name.startswith(EDIT_LATENTS))
        given["edit_latents"] = [inputs[name] for name in (BEFORE_EDITED, *edited, AFTER_EDITED) if name in inputs]
        given["zero_cond_t"] = self.args.zero_cond_t
        if ENTITY_MASKS in inputs:
            contexts = sorted(name for name in inputs if name.startswith(ENTITY) and name != ENTITY_MASKS)
            given["entities"] = Entities(inputs[ENTITY_MASKS], tuple(inputs[name] for name in contexts))
        of = partial(super().velocity, latents=latents, timestep=timestep, inputs=inputs, branch=branch, **given)
        if CONDITIONING not in inputs:
            return of(network=network)

        def controlled(dit: nn.Module | None, controlnet: QwenImageBlockWiseControlNet | None) -> Tensor:
            # What encoded the conditioning has asked for both.
            assert dit is not None
            assert controlnet is not None
            return of(network=dit, controls=Controls([Control(controlnet, inputs[CONDITIONING].float())]))

        velocity: Tensor
        if trained_name(self.args) in CONTROLNETS:  # its wrapper is to see one call of it
            velocity = network(lambda own: controlled(self.pipe.dit, own))
            return velocity
        return controlled(network, self.pipe.blockwise_controlnet)

    def noise(self, seed: int, rand_device: str, latents: Tensor) -> Tensor:
        *_, height, width = latents.shape
        layers = latents.shape[2] if latents.ndim == 5 else None
        return self.pipe.draw_noise(seed, rand_device, 8 * height, 8 * width, layers)

    def settings_of_levels(self, latents: Any) -> dict[str, Any]:
        *_, height, width = latents.shape
        return {"dynamic_shift_len": (height // 2) * (width // 2)}

    def validation_inputs(self) -> dict[str, Any]:
        return {"edit_image": self.to_edit, "zero_cond_t": self.args.zero_cond_t}

    def _validation_pictures(self, given: str | None) -> Image.Image | list[Image.Image] | None:
        """One picture as Qwen-Image-Edit takes it, or a list as Edit-2509 does."""
        if given is None:
            return None
        if not self.edits:
            raise TrainingError(
                "--validation_edit_image: this run does not train on edits; give --extra_inputs edit_image"
            )
        try:
            pictures = [Image.open(name).convert("RGB") for name in names(given)]
        except OSError as error:
            raise TrainingError(f"--validation_edit_image {given}: {error}") from error
        return pictures if "," in given else pictures[0]


def _first_frames(media: Any) -> Any:
    """The picture of a file, or for a list of files a list of theirs; None for none."""
    if not media:
        return None
    return media[0] if isinstance(media[0], Image.Image) else [frames[0] for frames in media]


def encoded_extras(
    pipe: QwenImagePipeline, sample: Mapping[str, Any], size: tuple[int, int], extra_inputs: Sequence[str]
) -> dict[str, Tensor]:
    """What the named columns of a sample contribute, by the names above.

    Args:
        size: of the picture that the network is to make, (width, height).

    Raises:
        BadSampleError: what the row gives does not fit.
        TrainingError: a network that this needs was not loaded.
    """
    own = [name for name in extra_inputs if name in EXTRA_INPUTS]  # a task may have others
    if not own:
        return {}
    place = sample.get(PLACE, "a sample")
    for name in own:
        if sample.get(name) in (None, ""):
            raise BadSampleError(f"{place}: no column {name!r}, which --extra_inputs names")
    width, height = size
    try:
        call = Call(pipe, "training", _asked(sample, own), None, height, width, 1, {}, iter)
        units = asked_of((ContextImage(), LayerInput(), BlockwiseControl(), EntityControl()), call)
        tensors = {name: tensor for unit in units for name, tensor in _tensors(unit, call).items()}
    except RuntimeError as error:
        raise TrainingError(str(error)) from error
    except ValueError as error:
        raise BadSampleError(f"{place}: {error}") from error
    return tensors


def _asked(sample: Mapping[str, Any], own: Sequence[str]) -> dict[str, Any]:
    """The keywords of a generation."""
    values = {name: sample[name] for name in own}
    asked: dict[str, Any] = {
        CONTEXT: _first(values.get(CONTEXT)),
        LAYER_INPUT: _first(values.get(LAYER_INPUT)),
        LAYER_NUM: int(values[LAYER_NUM]) if LAYER_NUM in values else None,
        PROMPTS: values.get(PROMPTS),
        MASKS: [_first(mask) for mask in values[MASKS]] if MASKS in values else None,
        "eligen_enable_on_negative": False,
        CONTROL: None,
    }
    if FOLLOWED in values:
        mask = _first(values.get(FOLLOWED_MASK))
        asked[CONTROL] = [ControlNetInput(image=_first(values[FOLLOWED]), inpaint_mask=mask)]
    return asked


def _first(frames: Any) -> Image.Image | None:
    """The picture of a file; raises ValueError where it is a name instead."""
    if isinstance(frames, str):
        raise ValueError(f"{frames!r} is a name, and no file was read; name its column in --data_file_keys too")
    return None if frames is None else frames[0]


def _tensors(unit: Condition[QwenImagePipeline], call: Call[QwenImagePipeline]) -> dict[str, Tensor]:
    if isinstance(unit, BlockwiseControl):  # the ControlNet itself is called in the training
        return {CONDITIONING: conditioning(call, call.asked[CONTROL][0])}
    given = unit.prepare(call)
    if not isinstance(unit, EntityControl):
        return {BEFORE_EDITED if isinstance(unit, ContextImage) else AFTER_EDITED: given.pictures[0]}
    entities: Entities = given.of_branch[POSITIVE]["entities"]
    contexts = {f"{ENTITY}{number:02d}": context for number, context in enumerate(entities.contexts or ())}
    return {ENTITY_MASKS: entities.masks, **contexts}
