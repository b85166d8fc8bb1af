"""The same script on less work: what a call of a pipeline is cut down to for a trial.

The script stays as it is. Size, frames and steps become as few as show everything once: several VAE tiles in both
directions, a second latent frame, and a step on either side of the boundary between the two experts of A14B.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass, replace
from typing import Any

from PIL import Image

HEIGHT, WIDTH = 32, 48  # 4x6 latents
FRAMES = 5  # 2 latent frames
STEPS = 2
EDIT_SIZE = (48, 32)  # of pictures to edit
TILES = {"tile_size": (3, 4), "tile_stride": (1, 2)}  # of one size: they can be computed together

#: Characters of a prompt, each about a token of the made-up tokenizers; a negative one is of another length.
PROMPT, OTHER_PROMPTS = 24, 16
#: Tokens that Wan's prompts are padded to: more than the 64 that its text encoder computes at least.
TEXT_LENGTH = 128

#: Of a picture of a list, as the text encoder sees it: several windows of its attention, in both directions.
CONDITION_AREA = 168**2

# Keywords with frames, or with one picture for all of them; and those with a picture.
_VIDEOS = ("input_video", "control_video", "vace_video", "vace_video_mask")
_PICTURES = (
    *("input_image", "end_image", "reference_image", "vace_reference_image"),
    *("inpaint_mask", "context_image", "layer_input_image"),
)
_MANY_PICTURES = ("eligen_entity_masks",)

_TEXTS = {"prompt": PROMPT, "negative_prompt": OTHER_PROMPTS, "eligen_entity_prompts": OTHER_PROMPTS}

# A window has to be left for another, and a cache to be filled before it is used.
WINDOW = {"num_frames": 9, "sliding_window_size": 2, "sliding_window_stride": 1}
CACHED_STEPS = 4


def smaller_call(
    call: Callable[..., Any], before: Callable[[object], None], noise_on_cpu: bool = False
) -> Callable[..., Any]:
    """A pipeline's `__call__` with its work cut down.

    `before` is told the pipeline each time. `noise_on_cpu` draws the noise on the CPU whatever the script says, so
    that it is the same on every device.
    """

    @functools.wraps(call)
    def smaller(pipe: object, *args: Any, **kwargs: Any) -> Any:
        before(pipe)
        try:
            bound = inspect.signature(call).bind(pipe, *args, **kwargs)
        except TypeError:  # the call itself says best what is wrong with its arguments
            return call(pipe, *args, **kwargs)
        asked = inspect.signature(call).bind(pipe, *args, **kwargs)
        asked.apply_defaults()
        bound.arguments.update(_less(asked.arguments))
        if noise_on_cpu:
            bound.arguments["rand_device"] = "cpu"
        return call(*bound.args, **bound.kwargs)

    return smaller


def _less(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments to change; one that the pipeline does not have is not given to it."""
    less: dict[str, Any] = {"height": HEIGHT, "width": WIDTH, "num_frames": FRAMES, **_tiles(asked)}
    steps = STEPS if asked.get("tea_cache_l1_thresh") is None else CACHED_STEPS
    less["num_inference_steps"] = min(asked.get("num_inference_steps", steps), steps)
    if asked.get("sliding_window_size") is not None:
        less.update(WINDOW)
    less.update({name: _cut(asked[name], most) for name, most in _TEXTS.items() if name in asked})
    size = (WIDTH, HEIGHT)
    for name in _VIDEOS:
        if asked.get(name) is not None and not isinstance(asked[name], Image.Image):
            less[name] = _frames(asked[name], less["num_frames"])
    for name in (*_VIDEOS, *_PICTURES):
        if isinstance(asked.get(name), Image.Image):
            less[name] = _resized(asked[name], size)
    for name in _MANY_PICTURES:
        if asked.get(name):
            less[name] = [_resized(picture, size) for picture in asked[name]]
    less.update(_edit_pictures(asked.get("edit_image")))
    less.update(_control_pictures(asked.get("blockwise_controlnet_inputs")))
    if getattr(asked.get("latents"), "ndim", 0) >= 4:
        less["latents"] = _corner(asked, less["num_frames"])
    return {name: value for name, value in less.items() if name in asked}


def _cut(texts: Any, most: int) -> Any:
    """A text, or those of a list, so short; what is none is left for the pipeline to refuse."""
    if isinstance(texts, (list, tuple)):
        return [_cut(text, most) for text in texts]
    return texts[:most] if isinstance(texts, str) else texts


def _frames(video: Any, count: int) -> list[Image.Image]:
    """The first of a video, which makes them no larger than they are used."""
    if getattr(video, "height", None) is not None:
        video = copy.copy(video)
        video.height, video.width = HEIGHT, WIDTH
    return [_resized(video[index], (WIDTH, HEIGHT)) for index in range(count)]


def _tiles(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Tile sizes in the form that the pipeline takes: (rows, columns), or one number for both."""
    one_number = isinstance(asked.get("tile_size"), int)
    return {name: size[0] if one_number else size for name, size in TILES.items()}


def _corner(asked: Mapping[str, Any], frames: int) -> Any:
    """Of the noise that a script made itself, (B, C, H, W) or (B, C, F, H, W), what is left to be denoised."""
    latents = asked["latents"]
    height, width = (
        latents.shape[at] * small // large
        for at, small, large in ((-2, HEIGHT, asked["height"]), (-1, WIDTH, asked["width"]))
    )
    corner = latents[..., :height, :width]
    return corner[:, :, : (frames - 1) // 4 + 1] if latents.ndim == 5 else corner


def _edit_pictures(edit_image: Any) -> dict[str, Any]:
    """Pictures to edit, small, and not made larger again; what is none is left for the pipeline to refuse."""
    pictures = edit_image if isinstance(edit_image, (list, tuple)) else [edit_image]
    if not pictures or not all(isinstance(picture, Image.Image) for picture in pictures):
        return {}
    small = [_resized(picture, EDIT_SIZE) for picture in pictures]
    return {"edit_image": small[0] if isinstance(edit_image, Image.Image) else small, "edit_image_auto_resize": False}


def _control_pictures(inputs: Any) -> dict[str, Any]:
    """The inputs of ControlNets with small pictures; what is none is left for the pipeline to refuse."""
    if not isinstance(inputs, (list, tuple)) or not all(is_dataclass(one) for one in inputs):
        return {}
    small = []
    for one in inputs:
        pictures = {name: getattr(one, name) for name in ("image", "inpaint_mask")}
        given = {name: picture for name, picture in pictures.items() if isinstance(picture, Image.Image)}
        small.append(replace(one, **{name: _resized(given[name], (WIDTH, HEIGHT)) for name in given}))
    return {"blockwise_controlnet_inputs": small}


def _resized(frame: Image.Image, size: tuple[int, int]) -> Image.Image:
    return frame.resize(size, Image.Resampling.BICUBIC)
