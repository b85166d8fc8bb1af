"""The processes laid out in a box of (cfg, ring, ulysses), and the groups along its edges."""

from __future__ import annotations

from diffsynth.core.parallel.degrees import Degrees
from diffsynth.core.parallel.world import World


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
