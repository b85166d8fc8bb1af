"""A pipeline's call on less work: few pixels, frames and steps, and everything else as the script asks."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Mapping
from typing import Any

from script_trial.adapter import TrialOfAdapter
from script_trial.adapters.diffusers.published import TEXT

SIDE = 64  # pixels
STEPS = 2
LATENT_FRAMES = 2

_PICTURES = ("image", "mask_image", "control_image", "last_image", "ip_adapter_image", "reference_images")
_CLIPS = ("video", "mask", "control_video")
_MARK = "_is_smaller_in_a_trial"


def shorten_calls(trial: TrialOfAdapter) -> None:
    """Has the call of every pipeline cut down, and its networks called by the names of its components."""
    from diffusers import DiffusionPipeline

    register = DiffusionPipeline.register_modules

    @functools.wraps(register)
    def registered(pipe: Any, **modules: Any) -> None:
        register(pipe, **modules)
        _shorten(type(pipe), trial)
        _name_networks(pipe, trial)

    DiffusionPipeline.register_modules = registered


def offload_to_the_host(trial: TrialOfAdapter) -> None:
    """Has offloading do nothing where the host is the device, as in the reference: there diffusers refuses it."""
    from diffusers import DiffusionPipeline
    from diffusers.utils.torch_utils import get_device

    def on_any_device(offload: Any) -> Any:
        @functools.wraps(offload)
        def offloaded(pipe: Any, gpu_id: int | None = None, device: Any = None) -> Any:
            if get_device() == "cpu":
                trial.note("on the CPU nothing is offloaded")
                return None
            return offload(pipe, gpu_id=gpu_id, device=device)

        return offloaded

    for name in ("enable_model_cpu_offload", "enable_sequential_cpu_offload"):
        setattr(DiffusionPipeline, name, on_any_device(getattr(DiffusionPipeline, name)))


def _name_networks(pipe: Any, trial: TrialOfAdapter) -> None:
    import torch

    for name in pipe.config:
        network = getattr(pipe, name, None)
        if isinstance(network, torch.nn.Module):
            trial.name_network(name, network)


def _shorten(pipeline_class: Any, trial: TrialOfAdapter) -> None:
    call = pipeline_class.__call__
    if hasattr(call, _MARK):
        return
    signature = inspect.signature(call)

    @functools.wraps(call)
    def smaller(pipe: Any, *args: Any, **keywords: Any) -> Any:
        try:
            asked = signature.bind(pipe, *args, **keywords)
        except TypeError:  # the call itself says best what is wrong with its arguments
            return call(pipe, *args, **keywords)
        _name_networks(pipe, trial)
        whole = signature.bind(pipe, *args, **keywords)
        whole.apply_defaults()
        less = _less(pipe, whole.arguments)
        asked.arguments.update(less)
        if "generator" in whole.arguments:
            asked.arguments["generator"] = _generator(pipe, whole.arguments, trial.noise_on_cpu)
        trial.note(_told(less))
        return call(*asked.args, **asked.kwargs)

    setattr(smaller, _MARK, True)
    pipeline_class.__call__ = smaller


def _less(pipe: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments to change; one that the pipeline does not have is not given to it."""
    frames = _frames(pipe)
    less: dict[str, Any] = {"height": SIDE, "width": SIDE, "num_frames": frames, "video_length": frames}
    less["num_inference_steps"] = _steps(asked)
    for name in ("max_sequence_length", "text_encoder_out_layers"):
        if asked.get(name) is not None:
            less[name] = min(asked[name], TEXT) if isinstance(asked[name], int) else (0, 1, 2)[: len(asked[name])]
    less["max_area"] = SIDE * SIDE
    less["use_resolution_binning"] = False  # which would make the picture as large as the nearest that was trained
    for name in _PICTURES:
        less[name] = _small_pictures(asked.get(name))
    for name in _CLIPS:
        clip = asked.get(name)
        less[name] = _small_pictures(clip[:frames] if isinstance(clip, list) else clip)
    if asked.get("latents") is not None:
        less["latents"] = _small_latents(pipe, asked["latents"])
    return {name: value for name, value in less.items() if name in asked and asked[name] is not value}


def _small_latents(pipe: Any, latents: Any) -> Any:
    """A corner of the noise that a script made itself, (B, C, H, W), (B, C, F, H, W) or packed (B, tokens, C)."""
    names = ("vae_scale_factor", "vae_scale_factor_spatial", "vae_spatial_compression_ratio")
    scale = next((getattr(pipe, name) for name in names if isinstance(getattr(pipe, name, None), int)), None)
    if scale is None:
        return latents
    cells = SIDE // scale
    if latents.ndim == 3:
        patch = getattr(pipe, "transformer_spatial_patch_size", 2)
        frames = LATENT_FRAMES if _is_for_clips(pipe) else 1
        return latents[:, : frames * (cells // patch) ** 2]
    corner = latents[..., :cells, :cells]
    return corner[:, :, :LATENT_FRAMES] if latents.ndim == 5 else corner


def _is_for_clips(pipe: Any) -> bool:
    return "num_frames" in inspect.signature(type(pipe).__call__).parameters


def _steps(asked: Mapping[str, Any]) -> Any:
    """Two, and as many more as leave two where a call skips the first of them."""
    steps = asked.get("num_inference_steps")
    if not isinstance(steps, int):
        return steps
    strength = asked.get("strength")
    needed = STEPS if not isinstance(strength, float) or strength <= 0 else math.ceil(STEPS / strength)
    return min(steps, needed)


def _frames(pipe: Any) -> int:
    """Of a clip: as many as become `LATENT_FRAMES`."""
    vae = getattr(pipe, "vae", None)
    ratio = getattr(pipe, "vae_scale_factor_temporal", None) or getattr(
        getattr(vae, "config", None), "temporal_compression_ratio", None
    )
    return (LATENT_FRAMES - 1) * ratio + 1 if isinstance(ratio, int) else LATENT_FRAMES


def _small_pictures(pictures: Any) -> Any:
    """Pictures of PIL's cut down, in lists too; anything else as it is."""
    from PIL import Image

    if isinstance(pictures, Image.Image):
        return pictures.resize((SIDE, SIDE))
    if isinstance(pictures, list) and any(isinstance(one, (Image.Image, list)) for one in pictures):
        return [_small_pictures(one) for one in pictures]
    return pictures


def _generator(pipe: Any, asked: Mapping[str, Any], on_cpu: bool) -> Any:
    """Where the script gives none, one of its device, seeded: a device's own goes on from what it drew before.

    With `on_cpu` those that it gives are replaced by generators of the CPU with the same seeds; diffusers draws where
    its generator is.
    """
    import torch

    generator = asked["generator"]
    if generator is None:
        device = "cpu" if on_cpu else pipe._execution_device
        return torch.Generator(device).manual_seed(0)
    if not on_cpu:
        return generator
    several = generator if isinstance(generator, list) else [generator]
    drawn = [torch.Generator("cpu").manual_seed(one.initial_seed()) for one in several]
    return drawn if isinstance(generator, list) else drawn[0]


def _told(less: Mapping[str, Any]) -> str:
    parts = [f"{SIDE}x{SIDE} pixels"]
    if "num_frames" in less:
        parts.append(f"{less['num_frames']} frames")
    if isinstance(less.get("num_inference_steps"), int):
        parts.append(f"{less['num_inference_steps']} steps")
    return ", ".join(parts)
