"""What it costs to keep a DiT's weights off the device: time of a call and peak memory, beside weights that stay.

    python -m benchmarks.offload_cost [--layers 16] [--calls 5]

Writes a made-up float32 checkpoint of about 1 GB to a temporary folder and runs a video of 128x128 with 5 frames
through it on the CPU with one thread, the file being in the page cache. Every mode has a process of its own; all are
alive at the same time and call in turn. Prints, for each mode, the least seconds of a call and their ratio to weights
that stay, and the peak of resident memory after the first call above the process before loading, in MiB, in times the
weights and in times the largest block; ends with 1 if a number is above its bound.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SIZES = {"dim": 1024, "ffn_dim": 4096, "num_heads": 8, "text_dim": 1024}
LATENTS, CONTEXT = (1, 16, 2, 16, 16), (1, 512, 1024)
# offload, onload, preparing; "here" is the CPU in float32, which is also where it computes.
MODES = {
    "plain": None,
    "cpu": ("here", "here", "here"),
    "disk, onload cpu": ("disk", "here", "here"),
    "disk, streamed": ("disk", "disk", "disk"),
}
# Of the ratio of a call's time; of the peak in times the weights; of the peak in times the largest block.
BOUNDS = {"plain": (None, 1.05, None), "disk, streamed": (1.25, None, 3.0)}


def main() -> int:
    """Prints the table; 1 if something is above its bound."""
    parser = argparse.ArgumentParser(description="What it costs to keep a DiT's weights off the device.")
    parser.add_argument("--layers", type=int, default=16, help="blocks of 64 MiB each (default 16)")
    parser.add_argument("--calls", type=int, default=5, help="calls of each mode, in turn (default 5)")
    parser.add_argument("--mode", choices=MODES, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.mode:
        run_mode(arguments.mode, arguments.file, arguments.layers)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dit.safetensors"
        write_checkpoint(file, arguments.layers)
        return print_table(measure(file, arguments.layers, arguments.calls))


def write_checkpoint(file: Path, layers: int) -> None:
    """Random weights in the published layout."""
    import torch
    from safetensors.torch import save_file

    from diffsynth.models.wan_video_dit import WanModel

    torch.manual_seed(0)
    save_file(WanModel(num_layers=layers, **SIZES).state_dict(), file)


def measure(file: Path, layers: int, calls: int) -> dict[str, dict[str, Any]]:
    """Starts a process for each mode, lets them call in turn, and gathers what they print."""
    command = [sys.executable, "-m", "benchmarks.offload_cost", "--file", str(file), "--layers", str(layers)]
    children = {
        mode: subprocess.Popen([*command, "--mode", mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for mode in MODES
    }
    results = {mode: json.loads(ask(child)) for mode, child in children.items()}
    for _ in range(calls):
        for mode, child in children.items():
            results[mode]["seconds"] = min(results[mode]["seconds"], float(ask(child)))
    for child in children.values():
        child.communicate()
    return results


def ask(child: subprocess.Popen[str]) -> str:
    """Lets a child go one step on, and returns the line it prints."""
    child.stdin.write("\n")
    child.stdin.flush()
    return child.stdout.readline()


def run_mode(mode: str, file: Path, layers: int) -> None:
    """In the child: loads and calls once, then calls again for every line that comes in."""
    import torch

    from diffsynth.core.loader.build import fill
    from diffsynth.core.loader.checkpoint import Checkpoint
    from diffsynth.core.vram import ManagedWeights, parse_vram_config
    from diffsynth.models.wan_video_dit import WanModel

    torch.set_num_threads(1)
    torch.manual_seed(0)
    inputs = torch.randn(LATENTS), torch.tensor([500.0]), torch.randn(CONTEXT)
    torch.nn.Linear(8, 8)(torch.ones(2, 8))
    here = torch.device("cpu")
    with torch.device("meta"):
        model = WanModel(num_layers=layers, **SIZES).eval().requires_grad_(False)
    sys.stdin.readline()
    base = kibibytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    source = Checkpoint(file)
    key_map = {key: key for key in source.headers}
    if MODES[mode] is None:
        fill(model, source, key_map, dtype=torch.float32, device=here)
    else:
        policy = parse_vram_config(config(MODES[mode]), torch_dtype=torch.float32, device=here, model="dit")
        ManagedWeights(model, source, key_map, policy).onload()
    seconds = call(model, inputs)
    peak = (kibibytes("VmHWM") - base) * 1024
    print(json.dumps({"seconds": seconds, "peak": peak, **sizes_of(source)}), flush=True)
    for _ in sys.stdin:
        print(call(model, inputs), flush=True)


def config(placements: tuple[str, str, str]) -> dict[str, object]:
    """The vram_config of a mode."""
    import torch

    given: dict[str, object] = {"computation_device": "cpu", "computation_dtype": torch.float32}
    for situation, placement in zip(("offload", "onload", "preparing"), placements, strict=True):
        given[f"{situation}_device"] = "disk" if placement == "disk" else "cpu"
        given[f"{situation}_dtype"] = "disk" if placement == "disk" else torch.float32
    return given


def call(model: Any, inputs: tuple[Any, ...]) -> float:
    """Seconds of one call."""
    import torch

    start = time.perf_counter()
    with torch.inference_mode():
        model(*inputs)
    return time.perf_counter() - start


def sizes_of(source: Any) -> dict[str, int]:
    """Bytes of all weights, and of the largest block."""
    total, blocks = 0, {}
    for key, header in source.headers.items():
        size = header.dtype.itemsize
        for length in header.shape:
            size *= length
        total += size
        block = ".".join(key.split(".")[:2])
        blocks[block] = blocks.get(block, 0) + size
    return {"weights": total, "block": max(blocks.values())}


def kibibytes(line: str) -> int:
    """A number of /proc/self/status."""
    return int(Path("/proc/self/status").read_text().partition(line + ":")[2].split()[0])


def print_table(results: dict[str, dict[str, Any]]) -> int:
    """1 if something is above its bound."""
    plain = results["plain"]
    print(f"weights {plain['weights'] / 2**20:.0f} MiB, largest block {plain['block'] / 2**20:.0f} MiB")
    print(f"{'':20}{'s/call':>8}{'ratio':>8}{'bound':>8}{'peak MiB':>10}", end="")
    print(f"{'x weights':>11}{'bound':>8}{'x block':>9}{'bound':>8}")
    above = 0
    for mode, result in results.items():
        ratios = (
            result["seconds"] / plain["seconds"],
            result["peak"] / result["weights"],
            result["peak"] / result["block"],
        )
        bounds = BOUNDS.get(mode, (None, None, None))
        time_bound, weights_bound, block_bound = (bound or "" for bound in bounds)
        print(f"{mode:20}{result['seconds']:8.2f}{ratios[0]:8.2f}{time_bound:>8}{result['peak'] / 2**20:10.0f}", end="")
        print(f"{ratios[1]:11.2f}{weights_bound:>8}{ratios[2]:9.2f}{block_bound:>8}")
        above += sum(bound is not None and ratio > bound for ratio, bound in zip(ratios, bounds, strict=True))
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
