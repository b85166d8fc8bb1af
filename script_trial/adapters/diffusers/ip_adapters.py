"""IP-Adapters that a script loads into a UNet, made up with an image encoder of their own."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from script_trial.adapter import TrialOfAdapter
from script_trial.small.random_weights import fill, making_up, random_weight

WIDTH = 32  # of the image encoder, and inside of what projects every patch
IMAGE = 64  # pixels a side
TOKENS = 4  # that a picture becomes, as published

#: Of what projects every patch, a resampler: tokens that it asks for, layers, and the width of a head, as published.
QUERIES, DEPTH, HEAD = 16, 4, 64

#: Of what tells a face: numbers, as programs that find faces give them; and the rank of the LoRA that such a file holds
#: for every layer of attention, published with 128.
FACE, RANK = 512, 4


def make_up_ip_adapters(trial: TrialOfAdapter) -> None:
    """Has `load_ip_adapter` read a made-up folder where there is none."""
    from diffusers.loaders import IPAdapterMixin

    load = IPAdapterMixin.load_ip_adapter

    @functools.wraps(load)
    def made(
        pipe: Any,
        source: Any,
        subfolder: Any,
        weight_name: Any,
        image_encoder_folder: Any = "image_encoder",
        **keywords: Any,
    ) -> Any:
        names = weight_name if isinstance(weight_name, list) else [weight_name]
        subfolders = subfolder if isinstance(subfolder, list) else [subfolder] * len(names)
        sources = source if isinstance(source, list) else [source] * len(names)
        folders = [
            _folder(pipe, *one, image_encoder_folder, trial) for one in zip(sources, subfolders, names, strict=False)
        ]
        return load(pipe, folders, subfolders, names, image_encoder_folder, **keywords)

    IPAdapterMixin.load_ip_adapter = made


def _folder(
    pipe: Any, source: Any, subfolder: str | None, name: str, encoder: str | None, trial: TrialOfAdapter
) -> Any:
    """The script's folder, the user's, or a made-up one."""
    if not isinstance(source, (str, os.PathLike)):
        return source
    for place in (Path(source), trial.started_in / source):
        if place.exists():
            return str(place)
    inner = subfolder or ""
    own = f"diffusers-ip-adapter/{type(pipe).__name__}/{'/'.join(Path(source).parts[-2:])}/{name}.folder"

    def write(folder: Path) -> None:
        (folder / inner).mkdir(parents=True, exist_ok=True)
        with making_up():
            _write_weights(pipe.unet, folder / inner / name, own)
        if encoder is not None:
            place = folder / (encoder if "/" in encoder else f"{inner}/{encoder}".lstrip("/"))
            _write_encoder(place, _pixels(getattr(pipe, "feature_extractor", None)), own)

    return str(trial.once(own, write))


def _write_weights(unet: Any, file: Path, seed: str) -> None:
    import torch
    from safetensors.torch import save_file

    width = unet.config.cross_attention_dim
    width = width if isinstance(width, int) else max(width)
    shapes = {
        **{f"image_proj.{key}": shape for key, shape in _projection(file.name, width)},
        **{f"ip_adapter.{key}": shape for key, shape in _layers(unet, width)},
        **({f"ip_adapter.{key}": shape for key, shape in _lora(unet)} if "faceid" in file.name else {}),
    }
    weights = {key: random_weight(key, shape, seed) for key, shape in shapes.items()}
    if file.suffix == ".safetensors":
        save_file(weights, file)
        return
    parts: dict[str, dict[str, Any]] = {"image_proj": {}, "ip_adapter": {}}
    for key, weight in weights.items():
        part, _, rest = key.partition(".")
        parts[part][rest] = weight
    torch.save(parts, file)


def _projection(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Keys and shapes of what makes tokens of the prompt's width of a picture, by the kind that a file's name tells."""
    if "faceid" in name:
        yield from _linear("proj.0", 2 * FACE, FACE)
        yield from _linear("proj.2", TOKENS * (WIDTH if "plus" in name else width), 2 * FACE)
        yield from _norm("norm", WIDTH if "plus" in name else width)
        if "plus" in name:
            yield from ((f"perceiver_resampler.{key}", shape) for key, shape in _resampler(width))
    elif "full" in name:
        yield from _linear("proj.0", WIDTH, WIDTH)
        yield from _linear("proj.2", width, WIDTH)
        yield from _norm("proj.3", width)
    elif "plus" in name:
        yield "latents", (1, QUERIES, WIDTH)
        yield from _resampler(width)
    else:
        yield from _linear("proj", TOKENS * width, WIDTH)
        yield from _norm("norm", width)


def _resampler(width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from _linear("proj_in", WIDTH, WIDTH)
    for number in range(DEPTH):
        attention, feed_forward = f"layers.{number}.0", f"layers.{number}.1"
        yield from _norm(f"{attention}.norm1", WIDTH)
        yield from _norm(f"{attention}.norm2", WIDTH)
        yield f"{attention}.to_q.weight", (HEAD, WIDTH)
        yield f"{attention}.to_kv.weight", (2 * HEAD, WIDTH)
        yield f"{attention}.to_out.weight", (WIDTH, HEAD)
        yield from _norm(f"{feed_forward}.0", WIDTH)
        yield f"{feed_forward}.1.weight", (4 * WIDTH, WIDTH)
        yield f"{feed_forward}.3.weight", (WIDTH, 4 * WIDTH)
    yield from _linear("proj_out", width, WIDTH)
    yield from _norm("norm_out", width)


def _linear(name: str, out: int, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (out, width)
    yield f"{name}.bias", (out,)


def _norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _layers(unet: Any, width: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """Keys and shapes: a key and a value for each layer of attention to the prompt, numbered by twos from 1 on."""
    number = 1
    for place, layer in unet.named_modules():
        if place.endswith("attn2") and "motion_modules" not in place:
            inner = layer.to_k.out_features
            for kind in ("to_k_ip", "to_v_ip"):
                yield f"{number}.{kind}.weight", (inner, width)
            number += 2


def _lora(unet: Any) -> Iterator[tuple[str, tuple[int, int]]]:
    """Keys and shapes: four matrices, low and high, for each layer of attention in the order of its processors."""
    for number, name in enumerate(unet.attn_processors):
        layer = unet.get_submodule(name.removesuffix(".processor"))
        for kind, matrix in (("q", layer.to_q), ("k", layer.to_k), ("v", layer.to_v), ("out", layer.to_out[0])):
            yield f"{number}.to_{kind}_lora.down.weight", (RANK, matrix.in_features)
            yield f"{number}.to_{kind}_lora.up.weight", (matrix.out_features, RANK)


def _pixels(extractor: Any) -> int:
    """Of a side of the pictures that the pipeline's own extractor gives, if it has one."""
    return int(extractor.crop_size["height"]) if extractor is not None else IMAGE


def _write_encoder(folder: Path, pixels: int, seed: str) -> None:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=2, num_attention_heads=2, image_size=pixels,
        patch_size=pixels // 4, projection_dim=WIDTH,
    )  # fmt: skip
    network = CLIPVisionModelWithProjection(config)
    fill(network, seed)
    network.save_pretrained(folder)
