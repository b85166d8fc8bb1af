"""LoRA files that a script loads into a pipeline, made up for the attention of its denoising network."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from script_trial.adapter import CannotMakeUp, TrialOfAdapter
from script_trial.small.random_weights import making_up, random_weight

RANK = 4
_LAYERS = ("to_q", "to_k", "to_v", "to_out.0")


def make_up_lora(trial: TrialOfAdapter) -> None:
    """Has `load_lora_weights` of every pipeline read a made-up file where there is none."""
    import diffusers.loaders.lora_base as base
    import diffusers.loaders.lora_pipeline as loaders

    for owner in vars(loaders).values():
        if isinstance(owner, type) and issubclass(owner, base.LoraBaseMixin) and "load_lora_weights" in vars(owner):
            owner.load_lora_weights = _with_made_up(owner.load_lora_weights, trial)  # type: ignore[attr-defined]


def _with_made_up(load: Any, trial: TrialOfAdapter) -> Any:
    @functools.wraps(load)
    def made(pipe: Any, source: Any, *args: Any, **keywords: Any) -> Any:
        if isinstance(source, (str, os.PathLike)):
            source = _found(pipe, source, keywords, trial)
        return load(pipe, source, *args, **keywords)

    return made


def _found(pipe: Any, source: Any, keywords: dict[str, Any], trial: TrialOfAdapter) -> Any:
    """The script's file or folder, the user's, or a made-up folder."""
    for place in (Path(source), trial.started_in / source):
        if place.exists():
            return str(place)
    component = next((name for name in ("transformer", "unet", "prior") if getattr(pipe, name, None) is not None), None)
    if component is None:
        raise CannotMakeUp(f"the LoRA {source} for a {type(pipe).__name__}, which has no network to put it in")
    weight_name = keywords.setdefault("weight_name", "pytorch_lora_weights.safetensors")
    if not str(weight_name).endswith(".safetensors"):
        raise CannotMakeUp(f"{weight_name} of {source}: only .safetensors files can be made up")
    network = getattr(pipe, component)
    name = f"diffusers-lora/{type(pipe).__name__}/{'/'.join(Path(source).parts[-2:])}"

    def write(folder: Path) -> None:
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        with making_up():
            save_file(dict(_lora(component, network, name)), folder / weight_name)

    # A source that is a file has its folder's name made up, and the file in it.
    return str(trial.once(f"{name}/{weight_name}.folder", write))


def _lora(component: str, network: Any, seed: str) -> Iterator[tuple[str, Any]]:
    import torch

    for place, layer in network.named_modules():
        name = place.removesuffix(".base_layer")  # where another LoRA is in already
        if isinstance(layer, torch.nn.Linear) and name.endswith(_LAYERS):
            down, up = f"{component}.{name}.lora_A.weight", f"{component}.{name}.lora_B.weight"
            yield down, random_weight(down, (RANK, layer.in_features), seed)
            yield up, random_weight(up, (layer.out_features, RANK), seed)
