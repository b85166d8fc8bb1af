"""Calls of the networks beside their peers, in one process for each kind; prints rows as JSON."""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from benchmarks import dit_speed, qwen_speed, vae_speed, z_image_speed
from benchmarks.dit_speed import compare, seconds
from diffsynth.core.device.npu_compatible_device import room_left
from diffsynth.diffusion.base_pipeline import TILES_AT_ONCE
from diffsynth.families import qwen_image, wan, z_image
from diffsynth.families.family import Sizes

Calls = Mapping[str, Callable[[], object]]
# Seconds; the names of two calls; the most that their ratio may be.
Row = tuple[str, float, float, str, str, float, float | None]

SIZES = Sizes(width=256, layers=2, text_width=64, vae_width=16)
DIT_SMALL = dit_speed.Case(dit_speed.narrow(256, 4), (3, 32, 32))
QWEN_SMALL = qwen_speed.Case(qwen_image.DIT.small(SIZES), qwen_image.VAE.small(SIZES), 48, 24, 32)
Z_IMAGE_SMALL = qwen_speed.Case(z_image.DIT.small(SIZES), z_image.VAE.small(replace(SIZES, vae_width=32)), 32, 24, 28)
VAE_SMALL = vae_speed.Case(wan.VAE, wan.VAE.small(replace(SIZES, vae_width=8)), (5, 64, 96))
# Of latents: as the Wan pipeline has them by default, and of the small video.
TILES, TILES_SMALL = ((30, 52), (15, 26)), ((4, 6), (2, 3))


def dit_rows(options: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> list[Row]:
    """A Wan DiT call beside diffusers, beside its own matmuls and attention, and compiled; and its first."""
    case = dit_speed.FULL if options.full else DIT_SMALL
    ours, theirs, model = dit_speed.pair(dit_speed.KINDS["text"], case, device, dtype)
    calls: dict[str, Callable[[], object]] = {
        "ours": ours,
        "diffusers": theirs,
        "its matmuls and attention": dit_speed.floor(model, case, device, dtype),
    }
    model.warm_up(device, dtype)
    first = seconds(calls["ours"], device)
    times = compare(calls, options.rounds, device)
    rows = [
        row("Wan DiT call", times, "ours", "its matmuls and attention", 1.12),
        row("Wan DiT call", times, "ours", "diffusers", 0.88),
        ("Wan DiT, first call", 1000 * first, 1000 * statistics.median(times["ours"]), "the next ones", "ms",
         first / statistics.median(times["ours"]), None),
    ]  # fmt: skip
    if device.type != "cpu":
        for block in model.blocks:
            block.forward = torch.compile(block.forward, dynamic=True)
        compiled = compare(
            {name: calls[name] for name in ("ours", "its matmuls and attention")}, options.rounds, device
        )
        rows.append(row("Wan DiT call, compiled", compiled, "ours", "its matmuls and attention", 1.08))
    return rows


def kind_rows(options: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> list[Row]:
    """The Wan DiTs that see pictures, have a timestep a frame, or are guided by VACE, beside diffusers."""
    case = dit_speed.FULL if options.full else DIT_SMALL
    rows = []
    for name, kind in dit_speed.KINDS.items():
        if name == "text":
            continue  # it has a part of its own
        ours, theirs, _ = dit_speed.pair(kind, case, device, dtype)
        times = compare({"ours": ours, "diffusers": theirs}, options.rounds, device)
        rows.append(row(f"Wan DiT call, {name}", times, "ours", "diffusers", 1.0))
        del ours, theirs
    return rows


def z_image_rows(options: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> list[Row]:
    """A Z-Image DiT call and a decoded picture beside diffusers."""
    case = z_image_speed.FULL if options.full else Z_IMAGE_SMALL
    dit = compare(z_image_speed.dit_calls(case, device, dtype), options.rounds, device)
    vae = compare(z_image_speed.vae_calls(case, device, dtype), options.rounds, device)
    return [
        row("Z-Image DiT call", dit, "diffsynth", "diffusers", 1.0),
        row("Z-Image VAE decode", vae, "diffsynth", "diffusers", 1.0),
    ]


def qwen_rows(options: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> list[Row]:
    """A Qwen-Image DiT call and a decoded picture beside diffusers."""
    case = qwen_speed.FULL if options.full else QWEN_SMALL
    dit = compare(qwen_speed.dit_calls(case, device, dtype), options.rounds, device)
    vae = compare(qwen_speed.vae_calls(case, device, dtype), options.rounds, device)
    return [
        row("Qwen-Image DiT call", dit, "diffsynth", "diffusers", 0.88),
        row("Qwen-Image VAE decode", vae, "diffsynth", "diffusers", None),
    ]


def vae_rows(options: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> list[Row]:
    """The Wan VAE, whole beside diffusers, and its tiles together beside one at a time."""
    case = vae_speed.FULL if options.full else VAE_SMALL
    ours, theirs = vae_speed.networks(case, device, dtype)
    frames, height, width = case.video
    video = (torch.rand(1, 3, *case.video, device=device) * 2 - 1).to(dtype)
    latents = torch.randn(1, 16, (frames - 1) // 4 + 1, height // 8, width // 8, device=device, dtype=dtype)
    size, stride = TILES if options.full else TILES_SMALL
    tiles: dict[str, Any] = {"tiled": True, "tile_size": size, "tile_stride": stride}
    works: dict[str, tuple[Callable[..., Any], torch.Tensor, Callable[[], object]]] = {
        "decode": (ours.decode, latents, lambda: theirs.decode(latents).sample),
        "encode": (ours.encode, video, lambda: theirs.encode(video).latent_dist.mode()),
    }
    rows = []
    for name, (work, given, peer) in works.items():
        # The host has no room to count on; here it is tried all the same.
        room = min(room_left(device) // 2 or TILES_AT_ONCE, TILES_AT_ONCE)
        calls: Calls = {
            "whole": lambda work=work, given=given: work(given),
            "diffusers": peer,
            "tiles": lambda work=work, given=given, room=room: work(given, room=room, **tiles),
            "one tile at a time": lambda work=work, given=given: work(given, **tiles),
        }
        times = compare(calls, options.rounds, device)
        rows.append(row(f"Wan VAE {name}", times, "whole", "diffusers", 0.5))
        rows.append(row(f"Wan VAE {name} in tiles", times, "tiles", "one tile at a time", 0.55))
    return rows


def row(what: str, times: Mapping[str, list[float]], ours: str, peer: str, bound: float | None) -> Row:
    """Medians in milliseconds, and the median of the ratios within a round."""
    ratio = statistics.median(one / other for one, other in zip(times[ours], times[peer], strict=True))
    medians = (1000 * statistics.median(times[name]) for name in (ours, peer))
    return (what, *medians, peer, "ms", ratio, bound)  # type: ignore[return-value]


PARTS = {"dit": dit_rows, "kinds": kind_rows, "qwen": qwen_rows, "z-image": z_image_rows, "vae": vae_rows}


def main() -> None:
    """Prints the rows of one part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cpu":
        torch.set_num_threads(1)
    if device.type == "npu":
        torch.npu.config.allow_internal_format = False  # older stacks refuse diffusers' Conv3d in bfloat16 without
    with torch.inference_mode():
        rows = PARTS[options.part](options, device, torch.bfloat16 if options.full else torch.float32)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
