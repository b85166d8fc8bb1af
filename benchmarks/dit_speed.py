"""Time of one Wan DiT call, beside diffusers' on the same weights and beside its own matmuls and attention alone.

    python -m benchmarks.dit_speed [--rounds 5]
    python -m benchmarks.dit_speed --device cuda --dtype bf16 --full

The small network has width 512, 8 layers, 4,032 tokens and runs on one CPU thread; `--full` is Wan2.1-T2V-1.3B at
832x480 and 81 frames, 32,760 tokens. The three take turns in one run, and a ratio is the median of those within a
round: of processor time on the CPU, of the time until the device is idle elsewhere. The prompt's keys and values are
there already, as in every step of a generation but the first; diffusers computes them at each call. Ends with 1 if a
ratio is above its bound.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from diffusers import WanTransformer3DModel, logging
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers
from torch import Tensor

from diffsynth.core.attention.attention import attention
from diffsynth.models.wan_video_dit import TextCache, WanModel

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
TEXT_LENGTH = 512
BOUNDS = {"diffusers": 1.0, "matmuls and attention alone": 1.1}


class Case(NamedTuple):
    """Sizes of the network and of the latents (frames, rows, columns)."""

    dim: int
    ffn_dim: int
    num_heads: int
    num_layers: int
    latents: tuple[int, int, int]


SMALL = Case(512, 2048, 4, 8, (9, 32, 56))
FULL = Case(1536, 8960, 12, 30, (21, 60, 104))


class Inputs(NamedTuple):
    """What a call is given."""

    latents: Tensor
    timestep: Tensor
    context: Tensor


def networks(case: Case, device: torch.device, dtype: torch.dtype) -> tuple[WanModel, WanTransformer3DModel]:
    """Both networks on the device, with the same random weights."""
    torch.manual_seed(0)
    ours = WanModel(case.dim, case.ffn_dim, case.num_heads, case.num_layers).eval().requires_grad_(False)
    theirs = WanTransformer3DModel(
        num_attention_heads=case.num_heads,
        attention_head_dim=case.dim // case.num_heads,
        ffn_dim=case.ffn_dim,
        num_layers=case.num_layers,
    )
    logging.set_verbosity_error()  # it would have some weights stay float32; here both compute in one type
    theirs.load_state_dict(convert_wan_transformer_to_diffusers(ours.state_dict()))
    return ours.to(device, dtype), theirs.eval().requires_grad_(False).to(device, dtype)


def inputs(case: Case, device: torch.device, dtype: torch.dtype) -> Inputs:
    """Noise, a timestep, and features of the size of a prompt's."""
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(1, 16, *case.latents, generator=generator).to(device)
    context = torch.randn(1, TEXT_LENGTH, 4096, generator=generator).to(device, dtype)
    return Inputs(latents, torch.tensor([833.0], device=device), context)


def floor(model: WanModel, case: Case, device: torch.device, dtype: torch.dtype) -> Callable[[], None]:
    """The matmuls and the attention of one call with a filled text cache, on operands of the same shapes and layout."""
    heads, head_dim = case.num_heads, case.dim // case.num_heads
    tokens = torch.randn(1, case.latents[0] * case.latents[1] * case.latents[2] // 4, case.dim).to(device, dtype)
    keys, values = torch.randn(2, 1, TEXT_LENGTH, heads, head_dim).to(device, dtype).unbind()
    patches = torch.randn(*tokens.shape[:2], 64).to(device, dtype)
    patch_weight, patch_bias = model.patch_embedding.weight.flatten(1), model.patch_embedding.bias
    frequencies, time_vector = torch.randn(1, 256).to(device), torch.randn(1, case.dim).to(device)

    def run() -> None:
        torch.nn.functional.linear(patches, patch_weight, patch_bias)
        model.time_embedding[0](frequencies)
        model.time_embedding[2](time_vector)
        model.time_projection[1](time_vector)
        for block in model.blocks:
            own, cross = block.self_attn, block.cross_attn
            query, key, value = (layer(tokens).unflatten(-1, (heads, -1)) for layer in (own.q, own.k, own.v))
            own.o(attention(query, key, value).flatten(2))
            query = cross.q(tokens).unflatten(-1, (heads, -1))
            cross.o(attention(query, keys, values).flatten(2))
            block.ffn[2](block.ffn[0](tokens))
        model.head.head(tokens)

    return run


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """How long one call takes."""
    if device.type == "cpu":
        started = time.process_time()
        call()
        return time.process_time() - started
    torch.accelerator.synchronize()
    started = time.perf_counter()
    call()
    torch.accelerator.synchronize()
    return time.perf_counter() - started


def compare(calls: Mapping[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of each call, round by round; they take turns. A first round warms up and does not count."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            elapsed = seconds(call, device)
            if turn:
                times[name].append(elapsed)
    return times


def main() -> int:
    """Prints the table; 1 if a ratio is above its bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or npu (default: cpu)")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32", help="default: fp32")
    parser.add_argument("--full", action="store_true", help="Wan2.1-T2V-1.3B at 832x480, 81 frames")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (default: 5)")
    options = parser.parse_args()
    device, dtype = torch.device(options.device), DTYPES[options.dtype]
    if device.type == "cpu":
        torch.set_num_threads(1)
    if device.type == "npu":
        torch.npu.config.allow_internal_format = False  # older stacks refuse diffusers' Conv3d in bfloat16 without
    case = FULL if options.full else SMALL
    model, theirs = networks(case, device, dtype)
    given, cache = inputs(case, device, dtype), TextCache()
    calls: dict[str, Callable[[], Tensor | None]] = {
        "diffsynth": lambda: model(*given, text_cache=cache),
        "diffusers": lambda: theirs(given.latents.to(dtype), given.timestep, given.context, return_dict=False)[0],
        "matmuls and attention alone": floor(model, case, device, dtype),
    }
    with torch.inference_mode():
        difference = (calls["diffsynth"]() - calls["diffusers"]()).abs().max().item()
        times = compare(calls, options.rounds, device)
    print(f"{case}, {device}, {options.dtype}, median of {options.rounds}; largest difference {difference:.1e}")
    for name, elapsed in times.items():
        print(f"{name:32}{1000 * statistics.median(elapsed):12.1f} ms")
    missed = 0
    for name, bound in BOUNDS.items():
        ratio = statistics.median(ours / other for ours, other in zip(times["diffsynth"], times[name], strict=True))
        missed += ratio > bound
        print(f"diffsynth / {name}: {ratio:.3f}, bound {bound}: {'met' if ratio <= bound else 'MISSED'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
