"""Bytes that four processes send in one guided step: predicted, counted, and what the system says left their sockets.

    python -m benchmarks.parallel_traffic [--processes 4]

A small Wan DiT and a small Qwen-Image DiT run on the CPU, by gloo, split in every way. The third column is the kernel's
own count of the bytes that each process's TCP connections have carried, which knows nothing of this library. Ends with
1 where predicted and counted bytes differ, or counted and moved ones by more than 5 percent.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import stat
import struct
import subprocess
import sys
from math import prod
from pathlib import Path

import torch
from torch import nn

from benchmarks.parallel_scale import Case, sent_in_a_step, splits
from diffsynth.core.parallel.mesh import Degrees, Mesh
from diffsynth.core.parallel.sequence import SequenceParallel
from diffsynth.core.parallel.world import World, join
from diffsynth.diffusion.guidance import NEGATIVE, POSITIVE, guided, guided_apart
from diffsynth.models import qwen_image_parallel, wan_video_parallel
from diffsynth.models.qwen_image_dit import QwenImageDiT
from diffsynth.models.wan_video_dit import WanModel

HEADS, LAYERS = 5, 3  # heads that do not divide, as most numbers of tokens do not
TEXT_DIM = 24
TOLERANCE = 0.05

# Places in Linux's struct tcp_info of the bytes sent, and of those among them that were sent again.
_BYTES_SENT, _BYTES_RETRANSMITTED = 200, 208


def case_of(name: str, latents: tuple[int, ...], *, head_dim: int, text: int, streams: int) -> Case:
    """A small network, and the size of its latents without their 16 channels."""
    return Case(
        name=name,
        layers=LAYERS,
        dim=HEADS * head_dim,
        heads=HEADS,
        ffn_dim=64,
        tokens=prod(latents) // 4,
        text=text,
        streams=streams,
        out=64,
        latents=16 * prod(latents),
        weights=0,
    )


LATENTS = {"wan": (5, 26, 34), "qwen-image": (58, 74)}
CASES = {
    "wan": case_of("a small Wan DiT", LATENTS["wan"], head_dim=16, text=8, streams=1),
    "qwen-image": case_of("a small Qwen-Image DiT", LATENTS["qwen-image"], head_dim=32, text=29, streams=2),
}


def moved() -> int:
    """Bytes that left by the TCP connections that this process has now."""
    total = 0
    for number in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):  # the one that listed them is closed
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                with socket.socket(fileno=os.dup(number)) as connection:
                    total += _left_by(connection)
    return total


def _left_by(connection: socket.socket) -> int:
    if connection.type != socket.SOCK_STREAM or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return 0
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
    sent, again = (struct.unpack_from("=Q", info, place)[0] for place in (_BYTES_SENT, _BYTES_RETRANSMITTED))
    return sent - again


def cut_network(name: str, mesh: Mesh) -> nn.Module:
    """The network of one of `CASES`, cut."""
    sequence = SequenceParallel(mesh)
    if name == "wan":
        dit = WanModel(CASES[name].dim, CASES[name].ffn_dim, HEADS, LAYERS, text_dim=TEXT_DIM)
        wan_video_parallel.cut(dit, sequence)
    else:
        dit = QwenImageDiT(LAYERS, HEADS, CASES[name].dim // HEADS, text_dim=TEXT_DIM)
        qwen_image_parallel.cut(dit, sequence)
    return dit.eval().requires_grad_(False)


def one_step(world: World, name: str, degrees: Degrees) -> dict[str, float]:
    """Runs a step, and says what this process sent in it."""
    torch.manual_seed(0)
    mesh, case = Mesh(world, degrees), CASES[name]
    dit = cut_network(name, mesh)
    latents = torch.randn(1, 16, *LATENTS[name])
    contexts = {branch: torch.randn(1, case.text, TEXT_DIM) for branch in (POSITIVE, NEGATIVE)}

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
        "predicted": sum(sent_in_a_step(case, degrees, world.launch.rank, size=4).values()),
        "counted": counted,
        "moved": moved() - before,
    }


def measure() -> None:
    """What each of the processes does."""
    torch.set_num_threads(1)
    world = join("cpu")
    report: dict[str, dict[str, list[list[float]]]] = {}
    for name in CASES:
        report[name] = {}
        for degrees in splits(world.launch.size, HEADS):
            split = f"ulysses {degrees.ulysses}, ring {degrees.ring}, cfg {degrees.cfg}"
            own = torch.tensor([list(one_step(world, name, degrees).values())], dtype=torch.float64)
            report[name][split] = torch.cat(world.all().gather(own)).tolist()
    if world.launch.rank == 0:
        print(json.dumps(report))


def run(processes: int) -> dict[str, dict[str, list[list[float]]]]:
    """For each network, for each split, for each rank: bytes predicted, counted, and moved."""
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
    missed = 0
    for name, of_splits in run(options.processes).items():
        case = CASES[name]
        print(
            f"\n{case.name}, {case.length} tokens, {HEADS} heads, float32: bytes sent in a step by the rank most off\n"
        )
        print("| split | predicted | counted | moved | moved / counted |\n|---|---:|---:|---:|---:|")
        for split, ranks in of_splits.items():
            predicted, counted, left = max(ranks, key=lambda row: abs(row[2] - row[1]))
            missed += any(row[0] != row[1] or abs(row[2] - row[1]) > TOLERANCE * row[1] for row in ranks)
            print(f"| {split} | {predicted:.0f} | {counted:.0f} | {left:.0f} | {left / counted:.3f} |")
    print("MISSED" if missed else "met: predicted is counted, and moved within 5 percent of it, on every rank")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
