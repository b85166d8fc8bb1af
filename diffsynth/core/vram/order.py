"""Which unit runs after which: as registered at first, then as it was the last time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from diffsynth.core.vram.unit_state import ManagedUnit


class ForwardOrder:
    """The order of a model's units, which forms a circle: after the last comes the first of the next step."""

    def __init__(self, units: Sequence[ManagedUnit]) -> None:
        self._next = dict(zip(units, [*units[1:], *units[:1]], strict=True))
        self._running: ManagedUnit | None = None

    def runs(self, unit: ManagedUnit) -> None:
        """Learns that this unit's forward begins now."""
        # One called twice in a row says nothing about which comes next.
        if self._running not in (None, unit):
            self._next[self._running] = unit
        self._running = unit

    def after(self, unit: ManagedUnit) -> Iterator[ManagedUnit]:
        """The units that will run after this one, the next first, until one comes around again."""
        seen = {unit}
        coming = self._next[unit]
        while coming not in seen:
            yield coming
            seen.add(coming)
            coming = self._next[coming]
