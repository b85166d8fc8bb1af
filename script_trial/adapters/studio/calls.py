"""The same script on less work: what a call of a pipeline is cut down to.

The script stays as it is, and only keywords that a pipeline's own `__call__` has are changed: size, frames and steps to
as few as show everything once (several tiles of the VAE in both directions, a second latent frame, a step on either
side of the boundary between two experts), and the pictures and videos that it is given to that size.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from script_trial.adapter import TrialOfAdapter
from script_trial.adapters.studio.library import studio

STEPS = 2
CACHED_STEPS = 4  # a cache has to be filled before it is used
CELLS = (2, 3)  # height and width, in what a pipeline rounds them to
AT_LEAST = (32, 48)
TILES = {"tile_size": (3, 4), "tile_stride": (2, 2)}
TILE_PIXELS = {"tile_size_in_pixels": 64, "tile_overlap_in_pixels": 32}
SEED = 0


def install_calls(trial: TrialOfAdapter) -> None:
    """From the first pipeline of a class on, its calls are small, and its networks named by their attributes."""
    from torch import nn

    pipeline = studio("diffusion.base_pipeline").BasePipeline
    init, module_setattr = pipeline.__init__, pipeline.__setattr__
    small: set[type] = set()

    @functools.wraps(init)
    def started(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        if type(self) not in small and "__call__" in vars(type(self)):
            small.add(type(self))
            type(self).__call__ = smaller_call(type(self).__call__, trial)

    def named(self: Any, name: str, value: Any) -> None:
        module_setattr(self, name, value)
        if isinstance(value, nn.Module):
            trial.name_network(name, value)

    pipeline.__init__ = started
    pipeline.__setattr__ = named


def smaller_call(call: Callable[..., Any], trial: TrialOfAdapter) -> Callable[..., Any]:
    """A pipeline's `__call__` with its work cut down."""
    signature = inspect.signature(call)

    @functools.wraps(call)
    def smaller(pipe: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            asked = signature.bind(pipe, *args, **kwargs)
        except TypeError:  # the call itself says best what is wrong with its arguments
            return call(pipe, *args, **kwargs)
        asked.apply_defaults()
        less = smaller_arguments(pipe, asked.arguments)
        if trial.noise_on_cpu and "rand_device" in asked.arguments:
            less["rand_device"] = "cpu"
        _tell(trial, asked.arguments, less)
        asked.arguments.update(less)
        return call(*asked.args, **asked.kwargs)

    return smaller


def smaller_arguments(pipe: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments to change, of those that the call has."""
    height, width = small_size(pipe)
    frames = small_frames(pipe)
    steps = STEPS if asked.get("tea_cache_l1_thresh") is None else CACHED_STEPS
    less: dict[str, Any] = {"height": height, "width": width, "num_frames": frames, **_tiles(asked), **TILE_PIXELS}
    if isinstance(asked.get("num_inference_steps"), int):
        less["num_inference_steps"] = min(asked["num_inference_steps"], steps)
    if "seed" in asked and asked["seed"] is None:
        less["seed"] = SEED  # results of several ways are compared
    for name, value in asked.items():
        if name not in ("self", "pipe"):
            less |= _smaller_pictures(name, value, (width, height), frames)
            less |= _smaller_latents(name, value, asked, (height, width), frames)
        if name.endswith("_auto_resize") and value:
            less[name] = False  # to a million pixels
    return {name: value for name, value in less.items() if name in asked}


def small_size(pipe: Any) -> tuple[int, int]:
    """Height and width that the pipeline does not round."""
    factors = (getattr(pipe, "height_division_factor", 16), getattr(pipe, "width_division_factor", 16))
    sizes = [
        max(cells * factor, -(-least // factor) * factor)
        for cells, factor, least in zip(CELLS, factors, AT_LEAST, strict=True)
    ]
    return sizes[0], sizes[1]


def small_frames(pipe: Any) -> int:
    """Frames of two latent frames."""
    factor = getattr(pipe, "time_division_factor", None)
    return 5 if factor is None else int(factor + (pipe.time_division_remainder or 0))


def _tiles(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes of tiles in the form that the pipeline takes: (rows, columns), or one number for both."""
    one_number = isinstance(asked.get("tile_size"), int)
    return {name: size[0] if one_number else size for name, size in TILES.items()}


def _smaller_pictures(name: str, value: Any, size: tuple[int, int], frames: int) -> dict[str, Any]:
    """A picture or video of this size; nothing where the argument is something else."""
    from PIL import Image

    def resized(picture: Any) -> Any:
        return picture.resize(size, Image.Resampling.BICUBIC)

    if isinstance(value, Image.Image):
        return {name: resized(value)}
    if isinstance(value, studio("utils.data").VideoData):
        return {name: [resized(value[index]) for index in range(min(frames, len(value)))]}
    if isinstance(value, (list, tuple)) and value and all(isinstance(one, Image.Image) for one in value):
        kept = value[:frames] if "video" in name else value
        return {name: [resized(one) for one in kept]}
    return {}


def _smaller_latents(
    name: str, value: Any, asked: Mapping[str, Any], size: tuple[int, int], frames: int
) -> dict[str, Any]:
    """A corner of noise or latents that the script made itself, (B, C, H, W) or (B, C, F, H, W), for this size."""
    import torch

    is_latents = isinstance(value, torch.Tensor) and value.ndim in (4, 5) and ("latent" in name or "noise" in name)
    before = (asked.get("height"), asked.get("width"))
    if not is_latents or not all(isinstance(one, int) for one in before):
        return {}
    rows, columns = (max(at * now // was, 1) for at, now, was in zip(value.shape[-2:], size, before, strict=True))
    corner = value[..., :rows, :columns]
    if value.ndim == 5 and isinstance(asked.get("num_frames"), int) and asked["num_frames"] > 1:
        corner = corner[:, :, : (value.shape[2] - 1) * (frames - 1) // (asked["num_frames"] - 1) + 1]
    return {name: corner}


def _tell(trial: TrialOfAdapter, asked: Mapping[str, Any], less: Mapping[str, Any]) -> None:
    """Notes what is not as the script says."""
    for name, value in less.items():
        if isinstance(value, (int, tuple)) and asked[name] != value:
            trial.note(f"{name}={value} instead of {asked[name]}")
        elif "latent" in name or "noise" in name:
            trial.note(f"{name}: a corner of what the script made")
