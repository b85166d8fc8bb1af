"""What pictures contribute to a generation of Qwen-Image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image

from diffsynth.diffusion.conditions import Call, Condition, Contribution
from diffsynth.utils.frames import check_size, of_area

TOKEN_PIXELS = 16  # one DiT patch is 2x2 latents of 8x8 pixels
EDIT_AREA = 1024**2  # pixels of a picture to edit, as the DiT sees it
CONDITION_AREA = 384**2  # and of each of a list, as the text encoder sees it


class InputImage:
    """`input_image`: the generation starts from it, noised as much as `denoising_strength` says."""

    def check(self, call: Call) -> None:
        strength = call.asked["denoising_strength"]
        if call.asked["input_image"] is not None:
            call.needs("vae")
        elif strength < 1:
            raise ValueError(f"denoising_strength={strength} keeps part of an input_image, and none was given")

    def prepare(self, call: Call) -> Contribution | None:
        picture = call.asked["input_image"]
        if picture is None:
            return None
        check_size("input_image", picture, call.height, call.width)
        return Contribution(latents=call.pipe.encode_picture(picture, call.progress_bar_cmd, **call.tiles))


class EditImage:
    """`edit_image`: pictures that the DiT and the text encoder look at."""

    def check(self, call: Call) -> None:
        any_size = call.asked["edit_image_auto_resize"]
        if not checked_pictures(call.asked["edit_image"], any_size=any_size):
            return
        if not call.prompts.encoded_already:
            call.needs("text_encoder")
            call.pipe.needs_processor()
        call.needs("vae")

    def prepare(self, call: Call) -> Contribution | None:
        area = EDIT_AREA if call.asked["edit_image_auto_resize"] else None
        edited = edit_pictures(call.asked["edit_image"], area=area)
        latents = [call.pipe.encode_picture(picture, call.progress_bar_cmd, **call.tiles) for picture in edited.shown]
        inputs: dict[str, object] = {"edit_latents": latents} if latents else {}
        if call.asked["zero_cond_t"]:
            inputs["zero_cond_t"] = True
        return Contribution(inputs=inputs, with_prompt=edited.with_prompt())


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

    def with_prompt(self) -> dict[str, object]:
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


def checked_pictures(edit_image: Image.Image | Sequence[Image.Image] | None, *, any_size: bool) -> list[Image.Image]:
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


CONDITIONS: tuple[Condition, ...] = (InputImage(), EditImage())
