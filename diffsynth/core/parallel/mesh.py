"""The processes that share a pipeline's work, as it is asked to: laid out in a box of (cfg, ring, ulysses)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from diffsynth.core.parallel import DegreeError
from diffsynth.core.parallel.degrees import Degrees, check_degrees, choose_degrees
from diffsynth.core.parallel.launch import Launch
from diffsynth.core.parallel.world import World, join


class Mesh:
    """Groups of this process. Neighbours in number are neighbours in `ulysses`, which talks most.

    All processes have to make their meshes in the same order.

    Attributes:
        world: all processes.
        ulysses, ring: those with which it shares a sequence, along either degree.
        sequence: both together: all that share a sequence, in the order of their parts.
        cfg: those with the same part of another text branch.
    """

    def __init__(self, world: World, degrees: Degrees) -> None:
        def numbers(cfg: range, ring: range, ulysses: range) -> list[int]:
            return [(c * degrees.ring + r) * degrees.ulysses + u for c in cfg for r in ring for u in ulysses]

        cfgs, rings, ulysses = range(degrees.cfg), range(degrees.ring), range(degrees.ulysses)
        self.degrees = degrees
        self.device = world.device
        self.traffic = world.traffic
        self.world = world.all()
        self.sequence = world.group_among([numbers(_one(c), rings, ulysses) for c in cfgs])
        self.ulysses = world.group_among([numbers(_one(c), _one(r), ulysses) for c in cfgs for r in rings])
        self.ring = world.group_among([numbers(_one(c), rings, _one(u)) for c in cfgs for u in ulysses])
        self.cfg = world.group_among([numbers(cfgs, _one(r), _one(u)) for r in rings for u in ulysses])


def _one(index: int) -> range:
    return range(index, index + 1)


@dataclass(frozen=True)
class Sharing:
    """The joined processes, and the degrees that were asked for; None leaves one open."""

    world: World
    ulysses: int | None
    ring: int | None
    cfg: int | None

    @staticmethod
    def asked_for(
        use_usp: bool,
        device: str | torch.device | None,
        *,
        ulysses_degree: int | None,
        ring_degree: int | None,
        cfg_degree: int | None,
    ) -> Sharing | None:
        """None where this process does all of the work. Degrees that cannot be are refused before anything is loaded.

        Raises:
            DegreeError: the degrees do not fit the number of processes, or `use_usp` is not set.
            UnknownDeviceError, RankError: as `join`.
        """
        degrees = (ulysses_degree, ring_degree, cfg_degree)
        if not use_usp:
            if degrees != (None, None, None):
                raise DegreeError("ulysses_degree, ring_degree and cfg_degree go with use_usp=True, which is not set")
            return None
        launch = Launch.from_environment()
        check_degrees(1 if launch is None else launch.size, *degrees)
        world = join(device)
        return None if world is None else Sharing(world, *degrees)

    def mesh(self, heads: Iterable[int]) -> Mesh:
        """The processes laid out for networks of so many heads. All of them have to ask in the same order."""
        launch = self.world.launch
        degrees = choose_degrees(
            launch.size, self.ulysses, self.ring, self.cfg, heads=heads, machine_size=launch.local_size
        )
        return Mesh(self.world, degrees)
