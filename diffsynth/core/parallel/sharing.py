"""What a pipeline is asked for, `use_usp` and three degrees, made into processes that share its work."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from diffsynth.core.parallel.degrees import DegreeError, check_degrees, choose_degrees
from diffsynth.core.parallel.launch import Launch
from diffsynth.core.parallel.mesh import Mesh
from diffsynth.core.parallel.world import World, join


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
