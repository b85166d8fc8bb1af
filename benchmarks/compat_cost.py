"""What the redirect costs: the same statements with and without it, side by side in one run, on the emulated NPU.

    python -m benchmarks.compat_cost [--rounds 40]

Prints nanoseconds for one call (the least over alternating rounds) and the ratio beside its bound; ends with 1 if a
ratio is above its bound.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import timeit
from pathlib import Path

os.environ["NPU_COMPAT"] = "0"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

import npu_compat
import npu_emulator

CALLS = 4000
IMPORTS = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
start = time.process_time()
import torch
torch_alone = time.process_time() - start
import npu_emulator
npu_emulator.enable()
start = time.process_time()
import npu_compat
print(json.dumps([torch_alone, time.process_time() - start]))
"""


def least(statement: str, names: dict[str, object], best: float) -> float:
    """Nanoseconds for one call of ``statement``, or ``best`` if that was less."""
    return min(best, timeit.timeit(statement, globals=names, number=CALLS) / CALLS * 1e9)


def statement_ratio(statement: str, rounds: int) -> tuple[float, float]:
    """Nanoseconds without and with the redirect, in alternating rounds."""
    names = {"torch": torch, "x": torch.zeros(4)}
    plain = redirected = float("inf")
    for _ in range(rounds):
        plain = least(statement, names, plain)
        with npu_compat.redirected():
            redirected = least(statement, names, redirected)
    return plain, redirected


def direct_ratio(rounds: int) -> tuple[float, float]:
    """Nanoseconds of torch.npu.current_device() and of torch.cuda.current_device(), redirected."""
    direct = redirected = float("inf")
    with npu_compat.redirected():
        for _ in range(rounds):
            direct = least("torch.npu.current_device()", {"torch": torch}, direct)
            redirected = least("torch.cuda.current_device()", {"torch": torch}, redirected)
    return direct, redirected


def import_ratio(runs: int = 5) -> tuple[float, float]:
    """Processor time in nanoseconds of ``import torch``, and of that and ``import npu_compat``."""
    root = str(Path(__file__).resolve().parents[1])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NPU_")}
    command = [sys.executable, "-c", IMPORTS, root]
    outputs = [subprocess.run(command, env=environment, capture_output=True, check=True).stdout for _ in range(runs)]
    times = [json.loads(output) for output in outputs]
    alone, added = min(first for first, _ in times), min(second for _, second in times)
    return alone * 1e9, (alone + added) * 1e9


def same_objects() -> bool:
    """Whether ``a + b`` and ``x.shape`` call the same object with the redirect."""
    names = ("__add__", "__radd__", "add", "shape", "dtype", "device")
    before = [getattr(torch.Tensor, name) for name in names]
    with npu_compat.redirected():
        return all(getattr(torch.Tensor, name) is kept for name, kept in zip(names, before, strict=True))


def main() -> int:
    """Prints the table; 1 if something is above its bound."""
    parser = argparse.ArgumentParser(description="What the redirect costs, beside plain torch.")
    parser.add_argument("--rounds", type=int, default=40, help="alternating rounds of 4000 calls each (default 40)")
    rounds = parser.parse_args().rounds
    npu_emulator.enable()
    rows = [
        ("torch.zeros(4)", statement_ratio("torch.zeros(4)", rounds), 1.25),
        ('torch.zeros(4, device="cpu")', statement_ratio('torch.zeros(4, device="cpu")', rounds), None),
        ("x.to(torch.float32)", statement_ratio("x.to(torch.float32)", rounds), 1.5),
        ('x.to("cpu")', statement_ratio('x.to("cpu")', rounds), None),
        ('torch.device("cpu")', statement_ratio('torch.device("cpu")', rounds), None),
        ("torch.cuda.current_device()", direct_ratio(rounds), 1.3),
        ("import", import_ratio(), 1.05),
    ]
    print(f"{'':32}{'plain ns':>14}{'redirected ns':>16}{'ratio':>8}{'bound':>8}")
    for name, (plain, redirected), bound in rows:
        print(f"{name:32}{plain:14.0f}{redirected:16.0f}{redirected / plain:8.2f}{bound or '':>8}")
    same = same_objects()
    print(f"a + b and x.shape call the same objects: {same}")
    above = [name for name, (plain, redirected), bound in rows if bound and redirected / plain > bound]
    return 0 if same and not above else 1


if __name__ == "__main__":
    sys.exit(main())
