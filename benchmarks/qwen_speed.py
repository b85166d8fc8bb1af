"""Time of a Qwen-Image DiT call, of others for layers and edits, and of a VAE decode, beside diffusers' on the same
weights.

The networks, and their sizes as published, are those of the family's record.

    python -m benchmarks.qwen_speed [--rounds 5]
    python -m benchmarks.qwen_speed --device cuda --dtype bf16 --full

The small networks have width 512, 4 layers, and pictures of 640x640 (DiT) and 192x192 (VAE), and run on one CPU
thread; `--full` are the published ones, for a picture of 1328x1328. The two take turns in one run, and a ratio is the
median of those within a round: of processor time on the CPU, of the time until the device is idle elsewhere. Ends with
1 if a ratio is above 1.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKLQwenImage, QwenImageTransformer2DModel
from torch import Tensor

from benchmarks.dit_speed import DTYPES, compare, random_weights
from benchmarks.record import made
from diffsynth.families.family import Sizes
from diffsynth.families.qwen_image import DIT, VAE
from diffsynth.models.layers import patches

BOUND = 1.0
LAYERS = EDITED = 3
LATENT_CHANNELS = 16
Calls = dict[str, Callable[[], Tensor]]


class Case(NamedTuple):
    """Arguments of the networks; rows and columns of the latents that each is given; tokens of the prompt."""

    dit: Mapping[str, Any]
    vae: Mapping[str, Any]
    dit_latents: int
    vae_latents: int
    text_length: int


SIZES = Sizes(width=512, layers=4, text_width=128, vae_width=32)
SMALL = Case(DIT.small(SIZES), VAE.small(SIZES), 80, 24, 64)
FULL = Case(*(network.published_as("Qwen/Qwen-Image").sizes for network in (DIT, VAE)), 166, 166, 128)


def dit_calls(
    case: Case, device: torch.device, dtype: torch.dtype, layers: int | None = None, *, edited: int = 0
) -> Calls:
    """One prediction by either, without gradients: of a picture, of so many layers of one that it is given, or of one
    beside so many to edit, which timestep 0 steers, as in Edit-2511."""
    layered = layers is not None
    with random_weights(device, dtype):
        ours = made(DIT, {**case.dit, "layered": layered})
        theirs = QwenImageTransformer2DModel(
            num_layers=case.dit["num_layers"], num_attention_heads=case.dit["num_heads"],
            joint_attention_dim=case.dit["text_dim"], use_layer3d_rope=layered, use_additional_t_cond=layered,
            zero_cond_t=bool(edited),
        )  # fmt: skip
    ours.eval().requires_grad_(False)
    theirs.load_state_dict(ours.state_dict(), assign=True)  # one set of weights for both
    theirs.eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    count = 1 + edited + (layers or 0)
    side = case.dit_latents // 4 * 2 if count > 1 else case.dit_latents  # as many tokens, of four pictures
    pictures = torch.randn(count, LATENT_CHANNELS, side, side, generator=generator).to(device)
    predicted = layers or 1
    given = [one.unsqueeze(0) for one in pictures[predicted:]]
    latents = pictures[:predicted].transpose(0, 1).unsqueeze(0) if layered else pictures[:1]
    context = torch.randn(1, case.text_length, case.dit["text_dim"], generator=generator).to(device, dtype)
    timestep = torch.tensor([500.0], device=device)
    packed = torch.cat([patches(one) for one in pictures.split(1)], dim=1).to(dtype)
    tokens = (side // 2) ** 2 * predicted
    asked = {"img_shapes": [[(1, side // 2, side // 2)] * count], "return_dict": False}
    if layered:
        asked["additional_t_cond"] = torch.zeros(1, dtype=torch.long, device=device)

    def call_ours() -> Tensor:
        velocity = ours(latents, timestep, context, edit_latents=given, zero_cond_t=bool(edited))
        return torch.cat([patches(one) for one in (velocity.unbind(2) if layered else [velocity])], dim=1)

    def call_theirs() -> Tensor:
        return theirs(packed, context, timestep=timestep.to(dtype) / 1000, **asked)[0][:, :tokens]

    return {"diffsynth": call_ours, "diffusers": call_theirs}


def vae_calls(case: Case, device: torch.device, dtype: torch.dtype) -> Calls:
    """One decoded picture by either. Ours takes normalised latents; theirs are scaled back first."""
    with random_weights(device, dtype):
        ours = made(VAE, case.vae).eval().requires_grad_(False)
        theirs = AutoencoderKLQwenImage(base_dim=case.vae["dim"]).eval().requires_grad_(False)
    theirs.load_state_dict({ours.file_key(key): value for key, value in ours.state_dict().items()}, assign=True)
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(1, LATENT_CHANNELS, 1, case.vae_latents, case.vae_latents, generator=generator).to(
        device, dtype
    )
    mean, deviation = (
        torch.tensor(values, device=device, dtype=dtype).view(1, -1, 1, 1, 1)
        for values in (theirs.config.latents_mean, theirs.config.latents_std)
    )
    return {
        "diffsynth": lambda: ours.decode(latents),
        "diffusers": lambda: theirs.decode(latents * deviation + mean).sample,
    }


def report(work: str, calls: Calls, rounds: int, device: torch.device) -> bool:
    """Prints the times and the ratio of one piece of work; whether it is within the bound."""
    difference = (calls["diffsynth"]().float() - calls["diffusers"]().float()).abs().max().item()
    times = compare(calls, rounds, device)
    ratio = statistics.median(ours / other for ours, other in zip(*times.values(), strict=True))
    medians = ", ".join(f"{name} {1000 * statistics.median(elapsed):.1f} ms" for name, elapsed in times.items())
    print(f"{work}: {medians}; ratio {ratio:.3f}, bound {BOUND}: {'met' if ratio <= BOUND else 'MISSED'}", end="")
    print(f"; largest difference {difference:.1e}")
    return ratio <= BOUND


def main() -> int:
    """Prints the table; 1 if a ratio is above its bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or npu (default: cpu)")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32", help="default: fp32")
    parser.add_argument("--full", action="store_true", help="the published networks, 1328x1328")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (default: 5)")
    options = parser.parse_args()
    device, dtype = torch.device(options.device), DTYPES[options.dtype]
    if device.type == "cpu":
        torch.set_num_threads(1)
    case = FULL if options.full else SMALL
    print(f"{case}, {device}, {options.dtype}, median of {options.rounds}")
    met = True
    with torch.inference_mode():
        work_of: dict[str, Callable[[Case, torch.device, torch.dtype], Calls]] = {
            "DiT call": dit_calls,
            "DiT call of layers": partial(dit_calls, layers=LAYERS),
            "DiT call of an edit": partial(dit_calls, edited=EDITED),
            "VAE decode": vae_calls,
        }
        for work, make in work_of.items():
            met &= report(work, make(case, device, dtype), options.rounds, device)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
