"""Time of one Qwen-Image DiT call and of one VAE decode, beside diffusers' on the same weights.

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
from collections.abc import Callable
from typing import NamedTuple

import torch
from diffusers import AutoencoderKLQwenImage, QwenImageTransformer2DModel
from torch import Tensor

from benchmarks.dit_speed import DTYPES, compare, random_weights
from diffsynth.models.qwen_image_dit import QwenImageDiT
from diffsynth.models.qwen_image_patches import patches
from diffsynth.models.qwen_image_vae import QwenImageVAE

BOUND = 1.0
LATENT_CHANNELS, PATCH_FEATURES = 16, 64
Calls = dict[str, Callable[[], Tensor]]


class Case(NamedTuple):
    """Sizes of the networks; rows and columns of the latents that each is given; tokens of the prompt."""

    layers: int
    heads: int
    text_dim: int
    vae_dim: int
    dit_latents: int
    vae_latents: int
    text_length: int


SMALL = Case(4, 4, 512, 32, 80, 24, 64)
FULL = Case(60, 24, 3584, 96, 166, 166, 128)


def dit_calls(case: Case, device: torch.device, dtype: torch.dtype) -> Calls:
    """One prediction by either, without gradients."""
    with random_weights(device, dtype):
        ours = QwenImageDiT(case.layers, case.heads, text_dim=case.text_dim).eval().requires_grad_(False)
        theirs = QwenImageTransformer2DModel(
            num_layers=case.layers, num_attention_heads=case.heads, joint_attention_dim=case.text_dim
        )
    theirs.load_state_dict(ours.state_dict(), assign=True)  # one set of weights for both
    theirs.eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(1, LATENT_CHANNELS, case.dit_latents, case.dit_latents, generator=generator).to(device)
    context = torch.randn(1, case.text_length, case.text_dim, generator=generator).to(device, dtype)
    timestep = torch.tensor([500.0], device=device)
    packed, shapes = patches(latents).to(dtype), [[(1, case.dit_latents // 2, case.dit_latents // 2)]]

    def call_theirs() -> Tensor:
        given = {"timestep": timestep.to(dtype) / 1000, "img_shapes": shapes, "return_dict": False}
        return theirs(packed, context, **given)[0]

    return {"diffsynth": lambda: patches(ours(latents, timestep, context)), "diffusers": call_theirs}


def vae_calls(case: Case, device: torch.device, dtype: torch.dtype) -> Calls:
    """One decoded picture by either. Ours takes normalised latents; theirs are scaled back first."""
    with random_weights(device, dtype):
        ours = QwenImageVAE(case.vae_dim).eval().requires_grad_(False)
        theirs = AutoencoderKLQwenImage(base_dim=case.vae_dim).eval().requires_grad_(False)
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
        for work, make in {"DiT call": dit_calls, "VAE decode": vae_calls}.items():
            met &= report(work, make(case, device, dtype), options.rounds, device)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
