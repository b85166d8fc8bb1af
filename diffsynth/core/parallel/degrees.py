"""How many ways the work is split, and along what: text branches, rings, and heads within a ring."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import gcd

from diffsynth.core.parallel import DegreeError


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
        if degree is not None and (isinstance(degree, bool) or not isinstance(degree, int) or degree < 1):
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
