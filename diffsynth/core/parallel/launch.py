"""Who this process is among those that torchrun started, as its environment says."""

from __future__ import annotations

import os
from dataclasses import dataclass

from diffsynth.core.parallel import RankError

HOW_TO_START = "start the script with: torchrun --standalone --nproc_per_node N script.py"

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


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
