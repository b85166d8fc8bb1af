"""Bytes that four processes send in one guided step: predicted, counted, and what the system says left their sockets.

    python -m benchmarks.parallel_traffic [--processes 4]

A small Wan DiT runs on the CPU, by gloo, split in every way. The third column is the kernel's own count of the bytes
that each process's TCP connections have carried, which knows nothing of this library. Ends with 1 where predicted and
counted bytes differ, or counted and moved ones by more than 5 percent.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
from math import prod
from pathlib import Path

import torch

from benchmarks.parallel_scale import Case, sent_in_a_step, splits
from diffsynth.core.parallel.degrees import Degrees
from diffsynth.core.parallel.mesh import Mesh
from diffsynth.core.parallel.sequence import SequenceParallel
from diffsynth.core.parallel.world import World, join
from diffsynth.diffusion.guidance import NEGATIVE, POSITIVE, guided, guided_apart
from diffsynth.models.wan_video_dit import WanModel
from diffsynth.models.wan_video_parallel import cut_dit

HEADS, HEAD_DIM, LAYERS = 5, 16, 3  # heads that do not divide, as most numbers of tokens do not
LATENTS = (5, 26, 34)
TOLERANCE = 0.05

# Places in Linux's struct tcp_info of the bytes sent, and of those among them that were sent again.
_BYTES_SENT, _BYTES_RETRANSMITTED = 200, 208

CASE = Case(
    name="a small Wan DiT",
    layers=LAYERS,
    dim=HEADS * HEAD_DIM,
    heads=HEADS,
    ffn_dim=64,
    tokens=LATENTS[0] * LATENTS[1] * LATENTS[2] // 4,
    text=8,
    streams=1,
    out=64,
    latents=16 * prod(LATENTS),
    weights=0,
)


def moved() -> int:
    """Bytes that left by the TCP connections that this process has now."""
    total = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(name))) as connection:
            if connection.type == socket.SOCK_STREAM and connection.family in (socket.AF_INET, socket.AF_INET6):
                info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
                sent, again = (
                    struct.unpack_from("=Q", info, place)[0] for place in (_BYTES_SENT, _BYTES_RETRANSMITTED)
                )
                total += sent - again
    return total


def one_step(world: World, degrees: Degrees) -> dict[str, float]:
    """Runs a step, and says what this process sent in it."""
    torch.manual_seed(0)
    dit = WanModel(CASE.dim, CASE.ffn_dim, HEADS, LAYERS, text_dim=24).eval().requires_grad_(False)
    mesh = Mesh(world, degrees)
    cut_dit(dit, SequenceParallel(mesh))
    latents = torch.randn(1, 16, *LATENTS)
    contexts = {POSITIVE: torch.randn(1, CASE.text, 24), NEGATIVE: torch.randn(1, CASE.text, 24)}

    def predict(latents: torch.Tensor, branch: str) -> torch.Tensor:
        return dit(latents, torch.tensor([500.0]), contexts[branch])

    def step() -> None:
        if degrees.cfg == 2:
            guided_apart(predict, latents, cfg_scale=5.0, group=mesh.cfg)
        else:
            guided(predict, latents, cfg_scale=5.0, merge=False)

    step()  # connections are made on first use
    world.all().sum(torch.zeros(1))
    before, counted_before = moved(), mesh.traffic.total()
    step()
    counted = mesh.traffic.total() - counted_before
    return {
        "predicted": sum(sent_in_a_step(CASE, degrees, world.launch.rank, size=4).values()),
        "counted": counted,
        "moved": moved() - before,
    }


def measure() -> None:
    """What each of the processes does."""
    torch.set_num_threads(1)
    world = join("cpu")
    report = {}
    for degrees in splits(world.launch.size, HEADS):
        name = f"ulysses {degrees.ulysses}, ring {degrees.ring}, cfg {degrees.cfg}"
        report[name] = world.all().gather(torch.tensor([list(one_step(world, degrees).values())], dtype=torch.float64))
    if world.launch.rank == 0:
        print(json.dumps({name: torch.cat(rows).tolist() for name, rows in report.items()}))


def run(processes: int) -> dict[str, list[list[float]]]:
    """For each split, for each rank: bytes predicted, counted, and moved."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    shared = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
    }
    command = [sys.executable, "-m", "benchmarks.parallel_traffic", "--measure"]
    ranks = [
        subprocess.Popen(
            command,
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=Path(__file__).resolve().parents[1],
            stdout=subprocess.PIPE if rank == 0 else subprocess.DEVNULL,
            text=True,
        )
        for rank in range(processes)
    ]
    said = [rank.communicate()[0] for rank in ranks]
    if any(rank.returncode for rank in ranks):
        raise SystemExit("a process failed; its message stands above")
    return json.loads(said[0])


def main() -> int:
    """Prints the table; 1 if a number is off."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure()
        return 0
    print(
        f"{CASE.name}, {CASE.tokens} tokens, {HEADS} heads, float32: bytes sent in a step by the rank that is most off"
    )
    print("| split | predicted | counted | moved | moved / counted |\n|---|---:|---:|---:|---:|")
    missed = 0
    for split, ranks in run(options.processes).items():
        predicted, counted, left = max(ranks, key=lambda row: abs(row[2] - row[1]))
        missed += any(row[0] != row[1] or abs(row[2] - row[1]) > TOLERANCE * row[1] for row in ranks)
        print(f"| {split} | {predicted:.0f} | {counted:.0f} | {left:.0f} | {left / counted:.3f} |")
    print("MISSED" if missed else "met: predicted is counted, and moved within 5 percent of it, on every rank")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
