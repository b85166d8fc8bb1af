"""The processes that torchrun started: which of them this one is, and all of them joined, each with its own device."""

from __future__ import annotations

import atexit
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

from diffsynth.core.device.device_types import CPU, device_count, device_module
from diffsynth.core.device.npu_compatible_device import parse_nccl_backend, resolve_device
from diffsynth.core.parallel import RankError
from diffsynth.core.parallel.group import Group, Traffic
from diffsynth.core.parallel.lost_ranks import LostRanks
from diffsynth.core.parallel.main_rank import leave_it_to_the_main_rank

HOW_TO_START = "start the script with: torchrun --standalone --nproc_per_node N script.py"

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Launch:
    """A process's place.

    Attributes:
        rank, size: its number among all, and how many there are.
        local_rank, local_size: the same on its machine.
        machine: number of the machine.
        address: the host of rank 0.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    machine: int
    address: str

    @staticmethod
    def from_environment() -> Launch | None:
        """What torchrun says; None for a process that was started alone.

        Raises:
            RankError: a variable is missing, or is no number.
        """
        there = [name for name in _VARIABLES if os.environ.get(name)]
        if not {"RANK", "WORLD_SIZE", "LOCAL_RANK"}.intersection(there):
            return None
        missing = [name for name in _VARIABLES if name not in there]
        if missing:
            raise RankError(
                f"the environment has {', '.join(there)} and lacks {', '.join(missing)}, which torchrun sets: "
                f"{HOW_TO_START}"
            )
        size, local_rank = _number("WORLD_SIZE"), _number("LOCAL_RANK")
        return Launch(
            rank=_number("RANK"),
            size=size,
            local_rank=local_rank,
            local_size=_number("LOCAL_WORLD_SIZE", size),
            machine=_number("GROUP_RANK", 0),
            address=os.environ["MASTER_ADDR"],
        )


def _number(name: str, default: int | None = None) -> int:
    value = os.environ.get(name) or str(default)
    if not value.isdecimal():
        raise RankError(f"the environment has {name}={value!r}, expected a whole number as torchrun sets it")
    return int(value)


class World:
    """The joined processes. Made by `join`.

    Attributes:
        launch: which of them this one is.
        device: its own.
        traffic: counts what this process sends, in all groups.
    """

    def __init__(self, launch: Launch, device: torch.device, lost_ranks: LostRanks) -> None:
        self.launch = launch
        self.device = device
        self.traffic = Traffic()
        self._lost_ranks = lost_ranks
        self._store = dist.distributed_c10d._get_default_store()
        self._groups: dict[tuple[int, ...], dist.ProcessGroup | None] = {}
        self._firsts = 0

    def group_among(self, partition: Sequence[Sequence[int]]) -> Group:
        """The one of these groups of ranks that this process is in. All processes have to ask for the same ones."""
        for ranks in map(tuple, partition):
            if ranks not in self._groups:
                self._groups[ranks] = dist.new_group(list(ranks)) if len(ranks) > 1 else None
        mine = next(tuple(ranks) for ranks in partition if self.launch.rank in ranks)
        return Group(mine, self.launch.rank, self._groups[mine], self._lost_ranks, self.traffic)

    def all(self) -> Group:
        """The group of all processes."""
        return self.group_among([range(self.launch.size)])

    def first_on_each_machine(self, action: Callable[[], object]) -> None:
        """Runs `action` in one process of each machine, while the others wait: files are downloaded once."""
        self._firsts += 1
        done = f"diffsynth/first/{self._firsts}/{self.launch.machine}"
        if self.launch.local_rank == 0:
            action()
            self._store.set(done, "1")
        else:
            self._store.wait([done], _DAY)


_world: World | None = None


def join(device: str | torch.device | int | None) -> World | None:
    """Joins the processes that torchrun started, and gives this one its device. A second call returns the same.

    Args:
        device: its type says which backend is used: nccl, hccl, or gloo on the CPU. Its index is that of the process
            on its machine, whatever it says here. None is the accelerator of this machine, else the CPU.

    Returns:
        None where there is only one process.

    Raises:
        UnknownDeviceError: this machine has no such device.
        RankError: the environment is not torchrun's, this machine has fewer devices than processes, torch lacks the
            backend, the processes do not find each other, or they were joined for another type of device.
    """
    global _world
    launch = Launch.from_environment()
    if launch is None or launch.size == 1:
        warnings.warn(f"one process computes alone; for several devices, {HOW_TO_START}", stacklevel=4)
        return None
    kind = resolve_device(device).type
    if _world is not None:
        if _world.device.type != kind:
            raise RankError(f"the processes are joined for {_world.device.type} and cannot be for {kind} as well")
        return _world
    backend = "gloo" if kind == CPU else parse_nccl_backend(kind)
    own = _own_device(kind, launch)
    _init_process_group(backend, launch)
    store = dist.distributed_c10d._get_default_store()
    _world = World(launch, own, LostRanks(launch.rank, launch.size, store, launch.address))
    if launch.rank != 0:
        leave_it_to_the_main_rank()
    return _world


def _own_device(kind: str, launch: Launch) -> torch.device:
    if kind == CPU:
        return torch.device(CPU)
    count = device_count(kind)
    if launch.local_rank >= count:
        raise RankError(
            f"process {launch.local_rank} of this machine has no device: there are {count} of type {kind}; "
            f"start torchrun with --nproc_per_node {count} or less"
        )
    device_module(kind).set_device(launch.local_rank)
    return resolve_device(kind)


def _init_process_group(backend: str, launch: Launch) -> None:
    if not dist.is_available() or not dist.is_backend_available(backend):
        raise RankError(
            f"this torch ({torch.__version__}) has no {backend}, by which the processes would talk: install a torch "
            "that is built with it"
        )
    if dist.is_initialized():
        return
    try:
        dist.init_process_group(backend)
    except (RuntimeError, ValueError) as error:  # of the store, or of the backend
        line = str(error).strip().splitlines()[0]
        raise RankError(
            f"rank {launch.rank} of {launch.size} could not join the others by {backend}: {line}"
        ) from error
    atexit.register(_leave)


def _leave() -> None:
    if not dist.is_initialized():
        return
    if dist.get_backend() == "gloo":
        # A thread of it that lets go of its last tensor while the group is destroyed may keep it waiting for ever, and
        # one that does so after Python has begun to end ends the process by SIGABRT (torch 2.13 on Python 3.11): it
        # waits for no more than its turn.
        time.sleep(0.05)
    dist.destroy_process_group()
