"""Time of one Z-Image DiT call and of one VAE decode, beside diffusers' on the same weights.

The networks, and their sizes as published, are those of the family's record.

    python -m benchmarks.z_image_speed [--rounds 5]
    python -m benchmarks.z_image_speed --device cuda --dtype bf16 --full

The small networks have width 512, 4 layers and 1 for each stream, and pictures of 640x640 (DiT) and 192x192 (VAE), and
run on one CPU thread; `--full` are the published ones, for a picture of 1024x1024. Timed as `benchmarks.qwen_speed` is.
Ends with 1 if a ratio is above 1.
"""

from __future__ import annotations

import argparse
import sys

import torch
from diffusers import AutoencoderKL, ZImageTransformer2DModel
from torch import Tensor

from benchmarks.dit_speed import DTYPES, random_weights
from benchmarks.qwen_speed import LATENT_CHANNELS, Calls, Case, report
from benchmarks.record import made
from diffsynth.families.family import HEAD_DIM, Sizes
from diffsynth.families.z_image import DIT, VAE
from diffsynth.models.flux_vae import SCALE, SHIFT
from diffsynth.models.z_image_dit import rotary_dims

SIZES = Sizes(width=512, layers=4, text_width=512, vae_width=32)
SMALL = Case(DIT.small(SIZES), VAE.small(SIZES), 80, 24, 60)
FULL = Case(*(network.published_as("Tongyi-MAI/Z-Image-Turbo").sizes for network in (DIT, VAE)), 128, 128, 120)


def dit_calls(case: Case, device: torch.device, dtype: torch.dtype) -> Calls:
    """One prediction by either, without gradients."""
    with random_weights(device, dtype):
        ours = made(DIT, case.dit)
        theirs = ZImageTransformer2DModel(
            n_layers=case.dit["num_layers"],
            n_refiner_layers=case.dit["num_refiner_layers"],
            n_heads=case.dit["num_heads"],
            n_kv_heads=case.dit["num_heads"],
            dim=case.dit["num_heads"] * HEAD_DIM,
            cap_feat_dim=case.dit["text_dim"],
            axes_dims=list(rotary_dims(HEAD_DIM)),
        )
    theirs.load_state_dict(ours.state_dict(), assign=True)  # one set of weights for both
    for network in (ours, theirs):
        network.eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(1, LATENT_CHANNELS, case.dit_latents, case.dit_latents, generator=generator).to(device)
    context = torch.randn(1, case.text_length, case.dit["text_dim"], generator=generator).to(device, dtype)
    timestep = torch.tensor([500.0], device=device)

    def call_theirs() -> Tensor:
        given = [latents[0].unsqueeze(1).to(dtype)]
        return -theirs(given, (1000 - timestep) / 1000, [context[0]], return_dict=False)[0][0].squeeze(1)

    return {"diffsynth": lambda: ours(latents, timestep, context)[0], "diffusers": call_theirs}


def vae_calls(case: Case, device: torch.device, dtype: torch.dtype) -> Calls:
    """One decoded picture by either. Ours takes scaled latents; theirs are scaled back first."""
    with random_weights(device, dtype):
        ours = made(VAE, case.vae)
        theirs = AutoencoderKL(
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            block_out_channels=[case.vae["dim"] * multiple for multiple in (1, 2, 4, 4)],
            layers_per_block=2,
            latent_channels=LATENT_CHANNELS,
            use_quant_conv=False,
            use_post_quant_conv=False,
        )
    theirs.load_state_dict(ours.state_dict(), assign=True)
    for network in (ours, theirs):
        network.eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(1, LATENT_CHANNELS, case.vae_latents, case.vae_latents, generator=generator)
    latents = latents.to(device, dtype)
    return {
        "diffsynth": lambda: ours.decode(latents),
        "diffusers": lambda: theirs.decode(latents / SCALE + SHIFT).sample,
    }


def main() -> int:
    """Prints the table; 1 if a ratio is above its bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or npu (default: cpu)")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32", help="default: fp32")
    parser.add_argument("--full", action="store_true", help="the published networks, 1024x1024")
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
