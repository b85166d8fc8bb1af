"""What a sample of a training gives its network besides the picture: as in a generation, by the same units.

Pictures to edit are not among them: a training brings these to the size of its own pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image
from torch import Tensor, nn

from diffsynth.core.data import BadSampleError
from diffsynth.core.data.media_dataset import PLACE
from diffsynth.diffusion.conditions import Call, Contribution, contributed
from diffsynth.diffusion.guidance import POSITIVE
from diffsynth.diffusion.training.errors import TrainingError
from diffsynth.families.qwen_image.conditions import ContextImage
from diffsynth.families.qwen_image.control import CONTROLNETS, KEYWORD, BlockwiseControl, ControlNetInput, conditioning
from diffsynth.families.qwen_image.entities import MASKS, PROMPTS, EntityControl
from diffsynth.families.qwen_image.layers import LayerInput
from diffsynth.models.qwen_image_controlnet import Control, Controls
from diffsynth.models.qwen_image_entities import Entities

CONTEXT, LAYER_NUM, LAYER_INPUT = "context_image", "layer_num", "layer_input_image"
CONTROL, CONTROL_MASK = "blockwise_controlnet_image", "blockwise_controlnet_inpaint_mask"
EXTRA_INPUTS = (CONTEXT, CONTROL, CONTROL_MASK, PROMPTS, MASKS, LAYER_NUM, LAYER_INPUT)
FILES = (CONTEXT, CONTROL, CONTROL_MASK, MASKS, LAYER_INPUT)
"""Those that are pictures."""

# How the tensors of a sample are called. Pictures are seen in the order of their units: before the edited ones, after.
BEFORE_EDITED, AFTER_EDITED = "context_latents", "layer_latents"
CONDITIONING, ENTITY_MASKS, ENTITY = "control_latents", "entity_masks", "entity_"


def encoded_extras(
    pipe: Any, sample: Mapping[str, Any], size: tuple[int, int], extra_inputs: Sequence[str]
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
        call = Call(pipe, "training", _asked(sample, own), None, height, width, 1, {}, iter)  # type: ignore[arg-type]
        for unit in (ContextImage(), LayerInput(), BlockwiseControl(), EntityControl()):
            unit.check(call)
        tensors = _tensors(*(contributed([unit], call) for unit in (ContextImage(), LayerInput(), EntityControl())))
        for given in call.asked[KEYWORD] or ():  # the ControlNet itself is called in the training
            tensors[CONDITIONING] = conditioning(call, given)
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
        KEYWORD: None,
    }
    if CONTROL in values:
        mask = _first(values.get(CONTROL_MASK))
        asked[KEYWORD] = [ControlNetInput(image=_first(values[CONTROL]), inpaint_mask=mask)]
    return asked


def _first(frames: Any) -> Image.Image | None:
    """The picture of a file; raises ValueError where it is a name instead."""
    if isinstance(frames, str):
        raise ValueError(f"{frames!r} is a name, and no file was read; name its column in --data_file_keys too")
    return None if frames is None else frames[0]


def _tensors(context: Contribution, layers: Contribution, entity: Contribution) -> dict[str, Tensor]:
    tensors = {}
    for name, given in ((BEFORE_EDITED, context), (AFTER_EDITED, layers)):
        for picture in given.pictures:
            tensors[name] = picture
    if POSITIVE in entity.of_branch:
        entities: Entities = entity.of_branch[POSITIVE]["entities"]
        tensors[ENTITY_MASKS] = entities.masks
        for number, context_of_entity in enumerate(entities.contexts or ()):
            tensors[f"{ENTITY}{number:02d}"] = context_of_entity
    return tensors


def call_dit(
    pipe: Any,
    network: nn.Module,
    trained: str,
    latents: Tensor,
    timestep: Tensor,
    context: Tensor,
    inputs: Mapping[str, Tensor],
    edit_latents: Sequence[Tensor],
    **given: Any,
) -> Tensor:
    """The velocity of noisy latents at timesteps (B,), whichever network is trained.

    Args:
        network: what is trained, maybe in the wrapper of an engine.
        trained: its name in the pipeline.
        inputs: of a batch, as `encoded_extras` names them.
        given: what else the DiT is called with.
    """
    before, after = ([inputs[name]] if name in inputs else [] for name in (BEFORE_EDITED, AFTER_EDITED))
    given["edit_latents"] = [*before, *edit_latents, *after]
    if ENTITY_MASKS in inputs:
        contexts = sorted(name for name in inputs if name.startswith(ENTITY) and name != ENTITY_MASKS)
        given["entities"] = Entities(inputs[ENTITY_MASKS], tuple(inputs[name] for name in contexts))
    if CONDITIONING not in inputs:
        return network(latents, timestep, context, **given)

    def controlled(dit: nn.Module, controlnet: Any) -> Tensor:
        controls = Controls([Control(controlnet, inputs[CONDITIONING].float())])
        return dit(latents, timestep, context, **given, controls=controls)

    if trained in CONTROLNETS:  # its wrapper is to see one call of it
        return network(lambda own: controlled(pipe.dit, own))
    return controlled(network, pipe.blockwise_controlnet)
