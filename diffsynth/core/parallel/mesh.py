"""How the work is split: along text branches, rings, and heads within a ring; and the processes laid out for that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import gcd

import torch

from diffsynth.core.caller import is_whole
from diffsynth.core.parallel import DegreeError
from diffsynth.core.parallel.world import Launch, World, join


@dataclass(frozen=True)
class Degrees:
    """Their product is the number of processes.

    Attributes:
        cfg: 2 where the prompt and the negative prompt run on different devices, else 1.
        ring: parts of the sequence whose keys and values go round.
        ulysses: parts into which heads are dealt out; their parts of the sequence are exchanged for it.
    """

    cfg: int = 1
    ring: int = 1
    ulysses: int = 1

    @property
    def product(self) -> int:
        return self.cfg * self.ring * self.ulysses

    @property
    def sequence(self) -> int:
        """Parts of the sequence."""
        return self.ring * self.ulysses


def check_degrees(size: int, ulysses: int | None, ring: int | None, cfg: int | None) -> None:
    """Whether `size` processes can be split so; None leaves a degree open.

    Raises:
        DegreeError: a degree is no whole number above 0, cfg is neither 1 nor 2, or they do not multiply to `size`.
    """
    given: Mapping[str, object] = {"ulysses_degree": ulysses, "ring_degree": ring, "cfg_degree": cfg}
    for name, degree in given.items():
        if degree is not None and (not is_whole(degree) or degree < 1):
            raise DegreeError(f"{name}={degree!r}: expected a whole number above 0, or None")
    if cfg not in (None, 1, 2):
        raise DegreeError(f"cfg_degree={cfg}: expected 1 or 2, since there are two text branches")
    product = (ulysses or 1) * (ring or 1) * (cfg or 1)
    settled = ulysses is not None and ring is not None
    if size % product or (settled and product != size):
        asked = " * ".join(f"{name}={degree}" for name, degree in given.items() if degree is not None)
        raise DegreeError(
            f"{asked} makes {product}, and there {'is 1 process' if size == 1 else f'are {size} processes'}: the "
            "degrees have to multiply to the number of processes; change them, or --nproc_per_node of torchrun"
        )


def choose_degrees(
    size: int, ulysses: int | None, ring: int | None, cfg: int | None, *, heads: Iterable[int], machine_size: int
) -> Degrees:
    """The degrees as asked, and the best for those left open.

    cfg is 1 unless asked for, since at a guidance scale of 1 the second branch has nothing to do. ulysses is the
    largest degree that deals out the heads evenly and stays within a machine, where its exchange is quick; the rest
    is ring.

    Args:
        size: number of processes.
        heads: of the networks.
        machine_size: processes on a machine.

    Raises:
        DegreeError: as `check_degrees`.
    """
    check_degrees(size, ulysses, ring, cfg)
    cfg = cfg or 1
    left = size // cfg
    if ulysses is None:
        even = gcd(left // (ring or 1), *heads)
        fitting = [degree for degree in range(1, even + 1) if even % degree == 0 and machine_size % degree == 0]
        ulysses = left // ring if ring else fitting[-1]
    return Degrees(cfg=cfg, ring=left // ulysses, ulysses=ulysses)


def even_parts(length: int, parts: int) -> list[int]:
    """`length` in whole parts that differ by at most one, the larger ones first; some are 0 where it is too short."""
    return [length // parts + (index < length % parts) for index in range(parts)]


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
