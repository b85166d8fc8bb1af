"""What pictures contribute to a generation of Qwen-Image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageChops
from torch import Tensor

from diffsynth.core.caller import check_number, check_whole
from diffsynth.diffusion.conditions import NOTHING, Call, Condition, Contribution
from diffsynth.diffusion.guidance import NEGATIVE, POSITIVE
from diffsynth.diffusion.loaded_model import unwrapped
from diffsynth.diffusion.picture_pipeline import LATENT_CHANNELS, LATENT_PIXELS, TOKEN_PIXELS, InputImage
from diffsynth.families.qwen_image import CONTROLNETS
from diffsynth.models.qwen_image_controlnet import Control, Controls, QwenImageBlockWiseControlNet
from diffsynth.models.qwen_image_dit import Entities
from diffsynth.utils.frames import check_picture, check_size, of_area, video_from_frames

if TYPE_CHECKING:
    from diffsynth.pipelines.qwen_image import QwenImagePipeline

EDIT_AREA = 1024**2  # pixels of a picture to edit, as the DiT sees it
CONDITION_AREA = 384**2  # and of each of a list, as the text encoder sees it
CONTROL = "blockwise_controlnet_inputs"
PROMPTS, MASKS = "eligen_entity_prompts", "eligen_entity_masks"


class Inpaint(Condition["QwenImagePipeline"]):
    """`inpaint_mask`, `inpaint_blur_size` and `inpaint_blur_sigma`: of `input_image` only what is white is changed."""

    keywords = ("inpaint_mask",)

    def check(self, call: Call[QwenImagePipeline]) -> None:
        asked = call.asked
        size, sigma = asked["inpaint_blur_size"], asked["inpaint_blur_sigma"]
        check_picture("inpaint_mask", asked["inpaint_mask"])
        if asked["input_image"] is None:
            raise ValueError("inpaint_mask says what of input_image is changed, and none was given")
        if (size is None) != (sigma is None):
            raise ValueError("inpaint_blur_size and inpaint_blur_sigma go together")
        if size is not None:
            check_whole("inpaint_blur_size", size, least=0)
            if size >= (cells := min(call.height, call.width) // LATENT_PIXELS):
                raise ValueError(f"inpaint_blur_size={size}: expected less than the {cells} latents of the picture")
            check_number("inpaint_blur_sigma", sigma, above=0)

    def prepare(self, call: Call[QwenImagePipeline]) -> Contribution:
        asked = call.asked
        cells = asked["inpaint_mask"].convert("RGB").resize((call.width // LATENT_PIXELS, call.height // LATENT_PIXELS))
        mask = torch.from_numpy(np.array(cells)).to(call.pipe.device).float().mean(dim=2)[None, None] / 255
        if asked["inpaint_blur_size"] is not None:
            mask = blurred(mask, asked["inpaint_blur_size"], asked["inpaint_blur_sigma"])
        clean = call.pipe.encode_picture(asked["input_image"], call.progress_bar_cmd, **call.tiles)
        return Contribution(inpainted=(mask, clean))


def blurred(mask: Tensor, size: int, sigma: float) -> Tensor:
    """A mask (1, 1, h, w) under a Gaussian of 2 `size` + 1 cells, reflected at the edges."""
    places = torch.arange(-size, size + 1, device=mask.device, dtype=torch.float32)
    weights = torch.exp(-0.5 * (places / sigma) ** 2)
    weights = weights / weights.sum()
    kernel = torch.outer(weights, weights)[None, None]
    return F.conv2d(F.pad(mask, [size] * 4, mode="reflect"), kernel)


class ContextImage(Condition["QwenImagePipeline"]):
    """`context_image`: a picture that says what goes where, as the LoRA of in-context control was trained."""

    keywords = ("context_image",)

    def check(self, call: Call[QwenImagePipeline]) -> None:
        check_picture("context_image", call.asked["context_image"])
        call.needs("vae")

    def prepare(self, call: Call[QwenImagePipeline]) -> Contribution:
        picture = call.asked["context_image"].resize((call.width, call.height))
        return Contribution(pictures=(call.pipe.encode_picture(picture, call.progress_bar_cmd, **call.tiles),))


class EditImage(Condition["QwenImagePipeline"]):
    """`edit_image`: pictures that the DiT and the text encoder look at; and how the DiT does, whatever it looks at."""

    keywords = ("edit_image",)
    switches = ("zero_cond_t", "edit_rope_interpolation")

    def is_asked(self, call: Call[QwenImagePipeline]) -> bool:
        return super().is_asked(call) or any(call.asked[name] for name in self.switches)

    def check(self, call: Call[QwenImagePipeline]) -> None:
        any_size = call.asked["edit_image_auto_resize"]
        if not checked_pictures(call.asked["edit_image"], any_size=any_size):
            return
        if call.prompts is None or not call.prompts.encoded_already:
            call.needs("text_encoder")
            call.pipe.needs_processor()
        call.needs("vae")

    def prepare(self, call: Call[QwenImagePipeline]) -> Contribution:
        area = EDIT_AREA if call.asked["edit_image_auto_resize"] else None
        edited = edit_pictures(call.asked["edit_image"], area=area)
        latents = [call.pipe.encode_picture(picture, call.progress_bar_cmd, **call.tiles) for picture in edited.shown]
        inputs = {name: True for name in self.switches if call.asked[name]}
        return Contribution(pictures=tuple(latents), inputs=inputs, with_prompt=edited.with_prompt())


class EditPictures(NamedTuple):
    """Pictures to edit.

    Attributes:
        shown: as the DiT gets them.
        seen: as the text encoder does.
        numbered: whether the prompt calls them "Picture 1" and so on, as Edit-2509 takes a list.
    """

    shown: list[Image.Image]
    seen: list[Image.Image]
    numbered: bool

    def with_prompt(self) -> dict[str, Any]:
        """What the text encoder gets besides a prompt: see `BasePipeline.encode_prompts`."""
        return {"pictures": self.seen, "numbered": self.numbered}


def edit_pictures(edit_image: Image.Image | Sequence[Image.Image] | None, *, area: int | None) -> EditPictures:
    """The pictures to edit, of about `area` pixels, or of the size they have.

    Raises:
        ValueError: as `checked_pictures`.
    """
    numbered = not isinstance(edit_image, Image.Image)
    pictures = checked_pictures(edit_image, any_size=area is not None)
    shown = pictures if area is None else [of_area(picture, area) for picture in pictures]
    seen = [of_area(picture, CONDITION_AREA) for picture in pictures] if numbered else shown
    return EditPictures(shown, seen, numbered)


def checked_pictures(edit_image: object, *, any_size: bool) -> list[Image.Image]:
    """The pictures to edit, as a list.

    Raises:
        ValueError: one is no picture, or unless `any_size` has a side that is no multiple of 16.
    """
    if edit_image is None:
        return []
    pictures = [edit_image] if isinstance(edit_image, Image.Image) else edit_image
    if isinstance(pictures, (str, bytes)) or not isinstance(pictures, Sequence):
        raise ValueError(f"edit_image is a {type(edit_image).__name__}: expected a PIL image, or a list of them")
    for number, picture in enumerate(pictures):
        if not isinstance(picture, Image.Image):
            raise ValueError(f"picture {number} of edit_image is a {type(picture).__name__}: expected a PIL image")
        if not any_size and (picture.width % TOKEN_PIXELS or picture.height % TOKEN_PIXELS):
            raise ValueError(
                f"picture {number} of edit_image is {picture.width}x{picture.height}: expected multiples of "
                f"{TOKEN_PIXELS}; resize it, or leave edit_image_auto_resize on"
            )
    return list(pictures)


class LayerInput(Condition["QwenImagePipeline"]):
    """`layer_input_image` and `layer_num`. The DiT looks at the picture last: by that it knows which one it is."""

    keywords = ("layer_num", "layer_input_image")

    def check_left_out(self, call: Call[QwenImagePipeline]) -> None:
        # There is no DiT where a data set is encoded for a training.
        if call.pipe.dit is not None and unwrapped(call.pipe.dit).layered:
            raise ValueError("the dit takes a picture apart into layers: give layer_input_image and layer_num")

    def check(self, call: Call[QwenImagePipeline]) -> None:
        number, picture = call.asked["layer_num"], call.asked["layer_input_image"]
        if call.pipe.dit is not None and not unwrapped(call.pipe.dit).layered:
            raise ValueError("layer_num: the dit makes no layers; load that of Qwen/Qwen-Image-Layered")
        if number is None or picture is None:
            raise ValueError("layer_input_image and layer_num go together: a picture, and how many layers it has")
        check_whole("layer_num", number, least=0)
        check_size("layer_input_image", picture, call.height, call.width)
        call.needs("vae")

    def prepare(self, call: Call[QwenImagePipeline]) -> Contribution:
        picture = call.asked["layer_input_image"]
        return Contribution(pictures=(call.pipe.encode_picture(picture, call.progress_bar_cmd, **call.tiles),))


@dataclass
class ControlNetInput:
    """What one ControlNet is given.

    Attributes:
        controlnet_id: which of those that were loaded, counted from 0 in the order of `model_configs`.
        scale: of what it changes.
        start, end: where in the generation it begins and ends: 1 is the first step, 0 the last.
        image: the picture to follow, of the size that is made.
        inpaint_mask: white where that is to be made anew, for a ControlNet of inpainting.
        inpaint_image, processor_id: of DiffSynth-Studio; nothing reads them.
    """

    controlnet_id: int = 0
    scale: float = 1.0
    start: float = 1.0
    end: float = 0.0
    image: Image.Image | None = None
    inpaint_image: Image.Image | None = None
    inpaint_mask: Image.Image | None = None
    processor_id: str | None = None


class BlockwiseControl(Condition["QwenImagePipeline"]):
    """`blockwise_controlnet_inputs`: pictures of edges or depths to follow, or one to make anew in part."""

    keywords = (CONTROL,)

    def check(self, call: Call[QwenImagePipeline]) -> None:
        for number, given in enumerate(_inputs(call)):
            where = f"{CONTROL}, input {number}"
            if not isinstance(given, ControlNetInput):
                raise ValueError(f"{where} is a {type(given).__name__}: expected a ControlNetInput")
            for name in ("scale", "start", "end"):
                check_number(f"{where}: {name}", getattr(given, name))
            if given.start < given.end:
                raise ValueError(
                    f"{where}: start={given.start:g} and end={given.end:g} leave no step: 1 is the first, 0 the last"
                )
            check_whole(f"{where}: controlnet_id", given.controlnet_id, least=0)
            check_picture(f"{where}: image", given.image)
            check_size(f"{where}: image", given.image, call.height, call.width)
            if given.inpaint_mask is not None:
                check_picture(f"{where}: inpaint_mask", given.inpaint_mask)
            if call.pipe.dit is not None:  # as it is where a data set is encoded for a training
                takes_mask = _network(call, given, where).channels > LATENT_CHANNELS
                if takes_mask and given.inpaint_mask is None:
                    raise ValueError(f"{where}: its ControlNet, of inpainting, takes an inpaint_mask; none was given")
                if given.inpaint_mask is not None and not takes_mask:
                    raise ValueError(f"{where}: its ControlNet takes no inpaint_mask; leave it out")
            call.needs("vae")

    def prepare(self, call: Call[QwenImagePipeline]) -> Contribution:
        inputs = _inputs(call)
        if not inputs:
            return NOTHING
        controls = [
            Control(_network(call, given, CONTROL), conditioning(call, given), given.scale, given.start, given.end)
            for given in inputs
        ]
        used = tuple(dict.fromkeys(CONTROLNETS[given.controlnet_id] for given in inputs))
        return Contribution(inputs={"controls": Controls(controls)}, with_network={"dit": used})


def _inputs(call: Call[QwenImagePipeline]) -> list[ControlNetInput]:
    inputs = call.asked[CONTROL]
    if not isinstance(inputs, (list, tuple)):
        raise ValueError(f"{CONTROL} is a {type(inputs).__name__}: expected a list of ControlNetInput")
    return list(inputs)


def _network(call: Call[QwenImagePipeline], given: ControlNetInput, where: str) -> QwenImageBlockWiseControlNet:
    """The one that is asked for, which has to go with the DiT."""
    call.needs(CONTROLNETS[0])
    there: list[QwenImageBlockWiseControlNet]
    there = [loaded for name in CONTROLNETS if (loaded := getattr(call.pipe, name)) is not None]
    if given.controlnet_id not in range(len(there)):
        raise ValueError(
            f"{where}: controlnet_id={given.controlnet_id!r}, and {len(there)} ControlNet"
            f"{' was' if len(there) == 1 else 's were'} loaded, counted from 0"
        )
    network = unwrapped(there[given.controlnet_id])
    assert call.pipe.dit is not None  # the call has asked for it
    dit = unwrapped(call.pipe.dit)
    of_dit = len(dit.blocks), dit.img_in.out_features
    if (len(network.blocks), network.img_in.out_features) != of_dit:
        raise ValueError(
            f"{where}: a ControlNet of {len(network.blocks)} blocks, {network.img_in.out_features} wide, does not go "
            f"with a dit of {of_dit[0]}, {of_dit[1]} wide"
        )
    return network


def conditioning(call: Call[QwenImagePipeline], given: ControlNetInput) -> Tensor:
    """Latents of the picture; and of a mask, 0 in the cells to make anew and 1 elsewhere."""
    assert given.image is not None  # `check` has seen it
    picture, mask = given.image.convert("RGB"), given.inpaint_mask
    if mask is not None:
        picture = ImageChops.composite(Image.new("RGB", picture.size), picture, _white(mask.resize(picture.size)))
    latents: Tensor = call.pipe.encode_picture(picture, call.progress_bar_cmd, **call.tiles)
    if mask is None:
        return latents
    pixels = video_from_frames([mask], height=mask.height, width=mask.width, num_frames=1)[:, :, 0]
    anew = ((pixels + 1) / 2).mean(dim=1, keepdim=True)
    return torch.cat([latents, 1 - F.interpolate(anew, size=latents.shape[2:]).to(latents)], dim=1)


def _white(mask: Image.Image) -> Image.Image:
    """The pixels above the middle of the range, by the mean of their colours."""
    pixels = np.asarray(mask.convert("RGB"), dtype=np.float32).mean(axis=2) > 127.5
    return Image.fromarray(pixels.astype(np.uint8) * 255)


class EntityControl(Condition["QwenImagePipeline"]):
    """`eligen_entity_prompts`, `eligen_entity_masks` and `eligen_enable_on_negative`: what is to be where (EliGen)."""

    def is_asked(self, call: Call[QwenImagePipeline]) -> bool:
        return bool(call.asked[PROMPTS] or call.asked[MASKS])

    def check(self, call: Call[QwenImagePipeline]) -> None:
        prompts, masks = call.asked[PROMPTS], call.asked[MASKS]
        for name, value in ((PROMPTS, prompts), (MASKS, masks)):
            if not isinstance(value, (list, tuple)):
                raise ValueError(f"{name} is a {type(value).__name__}: expected a list, one for each entity")
        if len(prompts) != len(masks):
            raise ValueError(f"{len(prompts)} {PROMPTS} and {len(masks)} {MASKS}: expected one mask for each prompt")
        for number, (prompt, mask) in enumerate(zip(prompts, masks, strict=True)):
            if not isinstance(prompt, str):
                raise ValueError(f"prompt {number} of {PROMPTS} is a {type(prompt).__name__}: expected a string")
            check_picture(f"mask {number} of {MASKS}", mask)
        call.needs("text_encoder")
        mesh = call.pipe.mesh
        if mesh is not None and mesh.ring.size > 1:
            raise ValueError(f"{PROMPTS}: a ring has no masks in its attention; give from_pretrained ring_degree=1")

    def prepare(self, call: Call[QwenImagePipeline]) -> Contribution:
        prompts, masks = call.asked[PROMPTS], call.asked[MASKS]
        areas = areas_of(masks, call.height, call.width)
        entities = Entities(areas, tuple(call.pipe.encode_prompts(dict(enumerate(prompts))).values()))
        of_branch = {POSITIVE: {"entities": entities}}
        if call.asked["eligen_enable_on_negative"]:
            of_branch[NEGATIVE] = {"entities": Entities(areas)}
        return Contribution(of_branch=of_branch)


def areas_of(masks: Sequence[Image.Image], height: int, width: int) -> Tensor:
    """The latent cells that are white in each mask, (1, masks, height / 8, width / 8), bool, on the host."""
    size = (width // LATENT_PIXELS, height // LATENT_PIXELS)
    cells = [np.asarray(mask.convert("RGB").resize(size, Image.Resampling.NEAREST), np.float32) for mask in masks]
    return torch.from_numpy(np.stack(cells).mean(axis=3) > 127.5).unsqueeze(0)


# The DiT looks at pictures in this order.
CONDITIONS: tuple[Condition[QwenImagePipeline], ...] = (
    *(InputImage(), Inpaint(), ContextImage(), EditImage(), LayerInput()),
    *(BlockwiseControl(), EntityControl()),
)
