"""Time of the Wan VAEs, encoding and decoding, beside diffusers' on the same weights.

The networks, and their sizes as published, are those of the family's record.

    python -m benchmarks.vae_speed [--rounds 7]
    python -m benchmarks.vae_speed --vae 2.2
    python -m benchmarks.vae_speed --device cuda --dtype bf16 --full

The small VAE has width 32 and 9 frames of 128x192, and runs on one CPU thread and on as many as torch takes; `--full`
is the published VAE at 832x480 and 81 frames. `--vae 2.2` is that of Wan2.2-TI2V-5B, whose latents have 16x16 pixels.
All ways of computing a causal convolution and diffusers take turns in one run; each ratio is between medians: of
processor time on one thread, of time until all is done elsewhere. The bound is for the way that the VAE takes by
itself. Ends with 1 if a ratio is above its bound.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKLWan
from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers
from torch import Tensor

from benchmarks.record import made
from diffsynth.families.family import Network, Sizes
from diffsynth.families.wan import VAE, VAE_OF_5B
from diffsynth.models.causal_conv3d import CausalConv3d, Convolve, conv3d, paired_conv2d, summed_conv2d
from tests.diffsynth.models.vae38_oracle import peer_of

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
BOUND = 0.6


class Case(NamedTuple):
    """A VAE with the arguments of its constructor, and the size of the video (frames, height, width)."""

    network: Network
    sizes: Mapping[str, Any]
    video: tuple[int, int, int]


# The decoder of TI2V-5B is wider than its encoder.
CASES = {
    ("2.1", False): Case(VAE, VAE.small(Sizes(vae_width=32)), (9, 128, 192)),
    ("2.1", True): Case(VAE, VAE.published_as("Wan2.1_VAE").sizes, (81, 480, 832)),
    ("2.2", False): Case(VAE_OF_5B, VAE_OF_5B.small(Sizes(vae_width=40)) | {"decoder_dim": 64}, (9, 128, 192)),
    ("2.2", True): Case(VAE_OF_5B, VAE_OF_5B.published_as("Wan2.2_VAE").sizes, (81, 480, 832)),
}
SMALL, FULL = CASES["2.1", False], CASES["2.1", True]


def networks(case: Case, device: torch.device, dtype: torch.dtype) -> tuple[Any, AutoencoderKLWan]:
    """Both VAEs on the device, with the same random weights."""
    torch.manual_seed(0)
    ours = made(case.network, case.sizes)
    if case.network is VAE:
        theirs = AutoencoderKLWan(base_dim=case.sizes["dim"])
        theirs.load_state_dict(convert_wan_vae_to_diffusers(dict(ours.state_dict())))
    else:
        theirs = peer_of(ours)
    ours, theirs = (vae.eval().requires_grad_(False).to(device, dtype) for vae in (ours, theirs))
    return ours, theirs


def calls(case: Case, device: torch.device, dtype: torch.dtype) -> dict[str, dict[str, Callable[[], Tensor]]]:
    """What to time, by the work and then by who does it."""
    ours, theirs = networks(case, device, dtype)
    frames, height, width = case.video
    generator = torch.Generator().manual_seed(1)
    video = (torch.rand(1, 3, *case.video, generator=generator) * 2 - 1).to(device, dtype)
    size = (ours.z_dim, (frames - 1) // 4 + 1, height // ours.pixels, width // ours.pixels)
    latents = torch.randn(1, *size, generator=generator).to(device, dtype)

    def with_convolution(convolve: Convolve, work: Callable[[Tensor], Tensor], given: Tensor) -> Tensor:
        ours.convolve_with(convolve)
        return work(given)

    peers: dict[str, dict[str, Callable[[], Tensor]]] = {
        "encode": {"diffusers": lambda: theirs.encode(video).latent_dist.mode()},
        "decode": {"diffusers": lambda: theirs.decode(latents).sample},
    }
    for convolve in (paired_conv2d, summed_conv2d, conv3d):
        name = f"diffsynth, {convolve.__name__}"
        peers["encode"][name] = lambda convolve=convolve: with_convolution(convolve, ours.encode, video)
        peers["decode"][name] = lambda convolve=convolve: with_convolution(convolve, ours.decode, latents)
    return peers


def seconds(call: Callable[[], Tensor], device: torch.device) -> float:
    """How long one call takes."""
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    if device.type != "cpu":
        torch.accelerator.synchronize()
    started = clock()
    call()
    if device.type != "cpu":
        torch.accelerator.synchronize()
    return clock() - started


def compare(calls: dict[str, Callable[[], Tensor]], rounds: int, device: torch.device) -> dict[str, float]:
    """Median seconds of each, over rounds in which they take turns; the first round warms up and does not count."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            elapsed = seconds(call, device)
            if turn:
                times[name].append(elapsed)
    return {name: statistics.median(elapsed) for name, elapsed in times.items()}


def report(work: str, medians: dict[str, float], default: str) -> bool:
    """Prints the medians and ratios; whether the default's is within its bound."""
    met = True
    for name, median in medians.items():
        ratio = median / medians["diffusers"]
        verdict = ""
        if name == default:
            met = ratio <= BOUND
            verdict = f"  bound {BOUND}: {'met' if met else 'MISSED'}"
        print(f"{work:12}{name:28}{1000 * median:12.1f} ms{ratio:8.3f}{verdict}")
    return met


def main() -> int:
    """Prints the table; 1 if a ratio is above its bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or npu (default: cpu)")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32", help="default: fp32")
    parser.add_argument("--vae", choices=("2.1", "2.2"), default="2.1", help="of which Wan (default: 2.1)")
    parser.add_argument("--full", action="store_true", help="the published VAE at 832x480, 81 frames")
    parser.add_argument("--rounds", type=int, default=7, help="timed rounds (default: 7)")
    options = parser.parse_args()
    device, case = torch.device(options.device), CASES[options.vae, options.full]
    default = f"diffsynth, {CausalConv3d(1, 1, 1).convolve.__name__}"
    threads = [1, torch.get_num_threads()] if device.type == "cpu" else [torch.get_num_threads()]
    all_met = True
    what = f"{case.network.model_class.rpartition('.')[2]}, {case.sizes}, video {case.video}"
    print(f"{what}, {device}, {options.dtype}, median of {options.rounds}; ratios to diffusers")
    with torch.inference_mode():
        work = calls(case, device, DTYPES[options.dtype])
        for count in dict.fromkeys(threads):
            torch.set_num_threads(count)
            if device.type == "cpu":
                print(f"{count} thread{'s' if count > 1 else ''}")
            for name, peers in work.items():
                all_met &= report(name, compare(peers, options.rounds, device), default)
    return 0 if all_met else 1


if __name__ == "__main__":
    sys.exit(main())
