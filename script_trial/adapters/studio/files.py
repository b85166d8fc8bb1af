"""Videos that scripts read and hand to savers, and LoRAs: made up where they are not here, and kept as results."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from script_trial.adapter import TrialOfAdapter
from script_trial.adapters.studio.catalogue import entries_of
from script_trial.adapters.studio.library import studio
from script_trial.made_up import pattern
from script_trial.random_values import random_weight

# Small, and more frames than any script asks for: reading stops at those that are used.
CLIP = (121, 64, 96)  # frames, height, width
CLIP_RATE = 16
LORA_RANK = 4

# Each under every name that a script may import it by.
_SAVERS_OF_SOUND = (
    ("utils.data.audio_video", "write_video_audio"),
    ("utils.data.media_io_ltx2", "write_video_audio_ltx2"),
    ("utils.data.audio", "save_audio"),
)


def install_files(trial: TrialOfAdapter) -> None:
    """Hooks into VideoData, the savers of diffsynth.utils.data, and BasePipeline.load_lora."""
    data, pipeline = studio("utils.data"), studio("diffusion.base_pipeline").BasePipeline
    save_video = data.save_video
    data.VideoData.__init__ = _with_clip(data.VideoData.__init__, trial, save_video)
    for name in ("save_video", "save_frames"):
        setattr(data, name, _kept(getattr(data, name), trial))
    _keep_sound(trial)
    pipeline.load_lora = _with_lora(pipeline.load_lora, trial)


def _keep_sound(trial: TrialOfAdapter) -> None:
    """Has what savers of sound, and of frames with sound, are given kept; those whose packages are missing are left."""
    loaded: list[tuple[Any, str]] = []
    for module, saver in _SAVERS_OF_SOUND:
        with contextlib.suppress(ImportError):
            loaded.append((studio(module), saver))
    for holder, saver in loaded:  # all are there by now, each with the saver itself
        setattr(holder, saver, _sound_kept(getattr(holder, saver), trial))


def _sound_kept(save: Callable[..., Any], trial: TrialOfAdapter) -> Callable[..., Any]:
    signature = inspect.signature(save)

    @functools.wraps(save)
    def kept(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        path = given.get("output_path", given.get("save_path"))
        if "video" in given:
            given["video"] = list(given["video"])
            trial.keep(str(path), np.stack([np.asarray(frame) for frame in given["video"]]))
        sound = given.get("audio", given.get("waveform"))
        if sound is not None:
            trial.keep(f"{path} (sound)", sound.detach().float().cpu().numpy())
        return save(**given)

    return kept


def _kept(save: Callable[..., Any], trial: TrialOfAdapter) -> Callable[..., Any]:
    """A saver of frames that has the trial keep them first."""

    @functools.wraps(save)
    def kept(frames: Any, save_path: Any, *args: Any, **kwargs: Any) -> Any:
        frames = list(frames)
        trial.keep(str(save_path), np.stack([np.asarray(frame) for frame in frames]))
        return save(frames, save_path, *args, **kwargs)

    return kept


def _with_clip(init: Callable[..., None], trial: TrialOfAdapter, save: Callable[..., Any]) -> Callable[..., None]:
    """`VideoData.__init__`, with a clip made up where its file is missing."""

    def write(path: Path) -> None:
        frames, height, width = CLIP
        save([pattern(height, width, number / frames) for number in range(frames)], str(path), fps=CLIP_RATE)

    @functools.wraps(init)
    def made(self: Any, video_file: Any = None, *args: Any, **kwargs: Any) -> None:
        if isinstance(video_file, (str, os.PathLike)):
            video_file = str(trial.found_or_made_up(os.fspath(video_file), write))
        init(self, video_file, *args, **kwargs)

    return made


def _with_lora(load: Callable[..., None], trial: TrialOfAdapter) -> Callable[..., None]:
    """`BasePipeline.load_lora`, with a LoRA of the network's blocks made up where its file is missing."""

    @functools.wraps(load)
    def made(pipe: Any, module: Any, lora_config: Any = None, *args: Any, **kwargs: Any) -> None:
        name = _missing(lora_config, trial)
        if name is None:
            load(pipe, module, lora_config, *args, **kwargs)
            return
        trial.note(f"the LoRA {name} is made up")
        content = dict(_lora(module, name, pipe))
        load(pipe, module, None, *args, **{**kwargs, "state_dict": content})

    return made


def _missing(lora: Any, trial: TrialOfAdapter) -> str | None:
    """What a LoRA is called that is not here."""
    if isinstance(lora, (str, os.PathLike)):
        here = any(path.exists() for path in (Path(lora), trial.started_in / lora))
        return None if here else os.fspath(lora)
    if getattr(lora, "path", None) is not None:
        return None if os.path.exists(str(lora.path)) else str(lora.path)
    if getattr(lora, "model_id", None) and not entries_of(lora.model_id, lora.origin_file_pattern or ""):
        return f"{lora.model_id}/{lora.origin_file_pattern}"
    return None


def _lora(network: Any, seed: str, pipe: Any) -> Iterator[tuple[str, Any]]:
    """A LoRA of every linear layer in the network's blocks, in the format that training saves."""
    from torch import nn

    for name, layer in network.named_modules():
        if not isinstance(layer, nn.Linear) or "blocks." not in name:
            continue
        for key, shape in (("lora_A", (LORA_RANK, layer.in_features)), ("lora_B", (layer.out_features, LORA_RANK))):
            full = f"{name}.{key}.default.weight"
            yield full, random_weight(full, shape, pipe.torch_dtype, seed, {}).to(pipe.device)
