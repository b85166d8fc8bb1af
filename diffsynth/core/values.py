"""Numbers that a caller hands in, told to be none, or out of their range, before anything is computed with them."""

from __future__ import annotations

import math
from numbers import Integral, Real


def check_number(name: str, value: object, *, above: float = -math.inf, most: float = math.inf) -> None:
    """Raises ValueError, which names the keyword, unless `value` is a finite number above one and at most the other."""
    if _is(Real, value) and math.isfinite(value) and above < value <= most:  # type: ignore[arg-type]
        return
    bounds = [f"above {above:g}"] * (above > -math.inf) + [f"at most {most:g}"] * (most < math.inf)
    raise ValueError(f"{name}={value!r}: expected a number {' and '.join(bounds)}".rstrip())


def check_whole(name: str, value: object, *, least: int = 1) -> None:
    """Raises ValueError, which names the keyword, unless `value` is a whole number and at least that."""
    if not _is(Integral, value) or value < least:  # type: ignore[operator]
        raise ValueError(f"{name}={value!r}: expected a whole number, at least {least}")


def _is(kind: type, value: object) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
