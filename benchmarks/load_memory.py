"""What loading takes: the peak resident memory of a process that loads a network, over what it has to hold.

    python -m benchmarks.load_memory [--blocks 5]

Writes a Wan DiT of random float32 weights, about 1 GB, as .safetensors and as .pth, and loads each in fresh processes:
by diffsynth's loader, and by the file format's own library with `load_state_dict`. The ratio is the peak (VmHWM, in
which the pages of mapped files count) over the weights as held plus the process before it loaded. Also prints the speed
of reading into memory that is held already, from a warm cache, beside bare `readinto`. Ends with 1 if a ratio misses
its bound. Linux only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import timeit
from itertools import product
from pathlib import Path

ROOT = str(Path(__file__).resolve().parents[1])
BOUND = 1.05
SPEED_BOUND = 1.25
ROUNDS = 7
MIB = 2**20

# Run by a fresh process each: arguments are the repository, the file, the type to hold, and who loads.
CHILD = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
import torch
from safetensors.torch import load_file
from diffsynth.core.loader import Checkpoint, build_on_meta, detect, fill
from diffsynth.families import MODEL_CONFIGS
from diffsynth.models.wan_video_dit import WanModel

path, dtype, who = sys.argv[2], getattr(torch, sys.argv[3]), sys.argv[4]

def peak():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))

def by_diffsynth():
    source = Checkpoint(path)
    entry, = detect(source, MODEL_CONFIGS)
    model = build_on_meta(entry)
    fill(model, source, entry.key_map, dtype=dtype, device="cpu")
    return model

def by_library():
    weights = load_file(path) if path.endswith(".safetensors") else torch.load(path, weights_only=True, mmap=True)
    with torch.device("meta"):
        model = WanModel(**WanModel.kwargs_from_shapes({key: value.shape for key, value in weights.items()}))
    model.to(dtype).to_empty(device="cpu").load_state_dict(weights)
    return model

base, start = peak(), time.perf_counter()
model = by_diffsynth() if who == "diffsynth" else by_library()
seconds = time.perf_counter() - start
held = sum(value.nbytes for value in model.state_dict().values())
print(json.dumps([base, held, peak(), seconds]))
"""


def write_checkpoints(folder: Path, blocks: int) -> list[Path]:
    """The same weights in both formats."""
    import torch
    from safetensors.torch import save_file

    from benchmarks.record import made
    from diffsynth.families.wan import DIT

    torch.manual_seed(0)
    sizes = {**DIT.published_as("Wan-AI/Wan2.1-T2V-1.3B").sizes, "num_layers": blocks}
    weights = made(DIT, sizes).state_dict()
    files = [folder / "dit.safetensors", folder / "dit.pth"]
    save_file(weights, files[0])
    torch.save(weights, files[1])
    return files


def load(path: Path, dtype: str, who: str) -> tuple[float, float, float, float]:
    """Bytes before, bytes of weights, peak bytes, and seconds, of one load in a fresh process."""
    command = [sys.executable, "-c", CHILD, ROOT, str(path), dtype, who]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return tuple(json.loads(output))


def read_speeds(path: Path) -> tuple[float, float]:
    """GB/s of bare `readinto` and of `read_into`, both into memory that is there and over all tensors."""
    import torch

    from diffsynth.core.loader import Checkpoint

    source = Checkpoint(path)
    held = {key: torch.zeros(header.shape, dtype=header.dtype) for key, header in source.headers.items()}
    buffers = [memoryview(tensor.view(-1).view(torch.uint8).numpy()) for tensor in held.values()]
    size = sum(len(buffer) for buffer in buffers)

    def bare() -> None:
        with open(path, "rb", buffering=0) as file:
            for buffer in buffers:
                file.readinto(buffer)

    def ours() -> None:
        for key, tensor in held.items():
            source.read_into(key, tensor)

    best = [float("inf")] * 2
    for _ in range(ROUNDS):
        best = [min(least, timeit.timeit(read, number=1)) for least, read in zip(best, (bare, ours), strict=True)]
    return size / best[0] / 1e9, size / best[1] / 1e9


def verdict(ratio: float, bound: float) -> str:
    """The bound, and whether it is met."""
    return f"{bound:8.2f} {'met' if ratio <= bound else 'MISSED'}"


def print_memory(files: list[Path]) -> bool:
    """Prints a row for each load; whether all bounds are met."""
    print(
        f"{'float32 file, held as':24}{'loader':12}{'base':>6}{'held':>6}{'peak MiB':>10}{'s':>7}{'ratio':>8}   bound"
    )
    met = True
    for file, dtype, who in product(files, ("float32", "bfloat16"), ("diffsynth", "library")):
        base, held, peak, seconds = load(file, dtype, who)
        ratio = peak / (base + held)
        row = f"{f'{file.suffix[1:]}, {dtype}':24}{who:12}{base / MIB:6.0f}{held / MIB:6.0f}{peak / MIB:10.0f}"
        print(f"{row}{seconds:7.2f}{ratio:8.3f}{verdict(ratio, BOUND) if who == 'diffsynth' else ''}")
        met = met and (who != "diffsynth" or ratio <= BOUND)
    return met


def print_speed(files: list[Path]) -> bool:
    """Prints a row for each format; whether all bounds are met."""
    print(f"\n{'warm cache':24}{'readinto GB/s':>18}{'read_into GB/s':>18}{'time ratio':>14}   bound")
    met = True
    for file in files:
        bare, ours = read_speeds(file)
        print(f"{file.suffix[1:]:24}{bare:18.1f}{ours:18.1f}{bare / ours:14.2f}{verdict(bare / ours, SPEED_BOUND)}")
        met = met and bare / ours <= SPEED_BOUND
    return met


def main() -> int:
    """Prints the tables; 1 if a bound is missed."""
    parser = argparse.ArgumentParser(description="Peak memory of loading, over the weights as held.")
    parser.add_argument("--blocks", type=int, default=5, help="of 1536 channels each; 5 make about 1 GB (default 5)")
    blocks = parser.parse_args().blocks
    sys.path.insert(0, ROOT)
    with tempfile.TemporaryDirectory() as folder:
        files = write_checkpoints(Path(folder), blocks)
        all_met = [print_memory(files), print_speed(files)]
    return 0 if all(all_met) else 1


if __name__ == "__main__":
    sys.exit(main())
