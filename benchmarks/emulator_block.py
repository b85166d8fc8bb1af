"""Time of a transformer block on the emulated NPU against the CPU, in one run.

Four layers of width 512 on 1,024 tokens, forward and backward, float32. Rounds alternate between the devices, so that a
busy machine hurts both alike; the ratio is that of the fastest rounds.

    python benchmarks/emulator_block.py [--rounds 12]
"""

from __future__ import annotations

import argparse
import sys
import time

import npu_emulator

npu_emulator.enable(devices=1, memory="8GiB")

import torch  # noqa: E402

LAYERS, WIDTH, HEADS, TOKENS = 4, 512, 8, 1024
LIMIT = 1.05


def make_block(device: str) -> tuple[torch.nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, dropout=0.0, batch_first=True)
    block = torch.nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
    return block.to(device), torch.randn(1, TOKENS, WIDTH).to(device)


def seconds(block: torch.nn.Module, tokens: torch.Tensor) -> float:
    started = time.perf_counter()
    block(tokens).square().mean().backward()
    elapsed = time.perf_counter() - started
    block.zero_grad()
    return elapsed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12, help="timed rounds on each device (default: 12)")
    rounds = parser.parse_args().rounds
    work = {device: make_block(device) for device in ("cpu", "npu")}
    best = {}
    for turn in range(rounds + 2):
        for device, (block, tokens) in work.items():
            elapsed = seconds(block, tokens)
            if turn >= 2:  # the first rounds warm caches
                best[device] = min(elapsed, best.get(device, elapsed))
    ratio = best["npu"] / best["cpu"]
    print(f"cpu {1000 * best['cpu']:.1f} ms, npu {1000 * best['npu']:.1f} ms: ratio {ratio:.3f} (limit {LIMIT})")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
