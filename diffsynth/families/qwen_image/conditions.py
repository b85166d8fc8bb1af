"""What pictures contribute to a generation of Qwen-Image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypedDict

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from diffsynth.core.caller import check_number, check_whole
from diffsynth.diffusion.conditions import Call, Condition, Contribution
from diffsynth.diffusion.loaded_model import unwrapped
from diffsynth.diffusion.picture_pipeline import LATENT_PIXELS, TOKEN_PIXELS, PicturePipeline
from diffsynth.families.qwen_image.control import BlockwiseControl
from diffsynth.families.qwen_image.entities import EntityControl
from diffsynth.utils.frames import check_picture, check_size, of_area

if TYPE_CHECKING:
    from diffsynth.pipelines.qwen_image import QwenImagePipeline

EDIT_AREA = 1024**2  # pixels of a picture to edit, as the DiT sees it
CONDITION_AREA = 384**2  # and of each of a list, as the text encoder sees it


class InputImage:
    """`input_image`: the generation starts from it, noised as much as `denoising_strength` says."""

    def check(self, call: Call[PicturePipeline]) -> None:
        strength = call.asked["denoising_strength"]
        if call.asked["input_image"] is not None:
            call.needs("vae")
        elif strength < 1:
            raise ValueError(f"denoising_strength={strength} keeps part of an input_image, and none was given")

    def prepare(self, call: Call[PicturePipeline]) -> Contribution | None:
        picture = call.asked["input_image"]
        if picture is None:
            return None
        check_size("input_image", picture, call.height, call.width)
        return Contribution(latents=call.pipe.encode_picture(picture, call.progress_bar_cmd, **call.tiles))


class Inpaint:
    """`inpaint_mask`, `inpaint_blur_size` and `inpaint_blur_sigma`: of `input_image` only what is white is changed."""

    def check(self, call: Call[QwenImagePipeline]) -> None:
        asked = call.asked
        size, sigma = asked["inpaint_blur_size"], asked["inpaint_blur_sigma"]
        if asked["inpaint_mask"] is None:
            return
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

    def prepare(self, call: Call[QwenImagePipeline]) -> Contribution | None:
        asked = call.asked
        if asked["inpaint_mask"] is None:
            return None
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


class ContextImage:
    """`context_image`: a picture that says what goes where, as the LoRA of in-context control was trained."""

    def check(self, call: Call[QwenImagePipeline]) -> None:
        if call.asked["context_image"] is not None:
            check_picture("context_image", call.asked["context_image"])
            call.needs("vae")

    def prepare(self, call: Call[QwenImagePipeline]) -> Contribution | None:
        if call.asked["context_image"] is None:
            return None
        picture = call.asked["context_image"].resize((call.width, call.height))
        return Contribution(pictures=(call.pipe.encode_picture(picture, call.progress_bar_cmd, **call.tiles),))


class EditImage:
    """`edit_image`: pictures that the DiT and the text encoder look at."""

    def check(self, call: Call[QwenImagePipeline]) -> None:
        any_size = call.asked["edit_image_auto_resize"]
        if not checked_pictures(call.asked["edit_image"], any_size=any_size):
            return
        if call.prompts is None or not call.prompts.encoded_already:
            call.needs("text_encoder")
            call.pipe.needs_processor()
        call.needs("vae")

    def prepare(self, call: Call[QwenImagePipeline]) -> Contribution | None:
        area = EDIT_AREA if call.asked["edit_image_auto_resize"] else None
        edited = edit_pictures(call.asked["edit_image"], area=area)
        latents = [call.pipe.encode_picture(picture, call.progress_bar_cmd, **call.tiles) for picture in edited.shown]
        inputs = {name: True for name in ("zero_cond_t", "edit_rope_interpolation") if call.asked[name]}
        return Contribution(pictures=tuple(latents), inputs=inputs, with_prompt=edited.with_prompt())


class Seen(TypedDict):
    """What the text encoder gets besides a prompt: see `QwenImagePipeline.encode_prompts`."""

    pictures: Sequence[Image.Image]
    numbered: bool


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

    def with_prompt(self) -> Seen:
        """What the text encoder gets besides a prompt."""
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


class LayerInput:
    """`layer_input_image` and `layer_num`. The DiT looks at the picture last: by that it knows which one it is."""

    def check(self, call: Call[QwenImagePipeline]) -> None:
        number, picture = call.asked["layer_num"], call.asked["layer_input_image"]
        # There is no DiT where a data set is encoded for a training.
        dit = None if call.pipe.dit is None else unwrapped(call.pipe.dit)
        if number is None and picture is None:
            if dit is not None and dit.layered:
                raise ValueError("the dit takes a picture apart into layers: give layer_input_image and layer_num")
            return
        if dit is not None and not dit.layered:
            raise ValueError("layer_num: the dit makes no layers; load that of Qwen/Qwen-Image-Layered")
        if number is None or picture is None:
            raise ValueError("layer_input_image and layer_num go together: a picture, and how many layers it has")
        check_whole("layer_num", number, least=0)
        check_size("layer_input_image", picture, call.height, call.width)
        call.needs("vae")

    def prepare(self, call: Call[QwenImagePipeline]) -> Contribution | None:
        picture = call.asked["layer_input_image"]
        if picture is None:
            return None
        return Contribution(pictures=(call.pipe.encode_picture(picture, call.progress_bar_cmd, **call.tiles),))


# The DiT looks at pictures in this order.
CONDITIONS: tuple[Condition[QwenImagePipeline], ...] = (
    *(InputImage(), Inpaint(), ContextImage(), EditImage(), LayerInput()),
    *(BlockwiseControl(), EntityControl()),
)
