"""Properties of a device that has no CUDA compute capability, for programs that compare it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npu_compat import wrappers


class WithoutCapability:
    """The accelerator's properties, with the compute capability 0.0 in the place of one that is absent or None.

    It is below any that a program or Triton asks for, and the answer of ``torch.cuda.get_device_capability``; torch_npu
    has ``major`` and ``minor``, and leaves them None, so that ``major < 8`` fails. All else is the accelerator's.
    """

    major = minor = 0

    def __init__(self, found: Any) -> None:
        self._found = found

    def __getattr__(self, name: str) -> Any:
        if name == "_found":  # of an instance that copy or pickle has not filled yet
            raise AttributeError(name)
        return getattr(self._found, name)

    def __eq__(self, other: object) -> bool:
        return bool(self._found == (other._found if isinstance(other, WithoutCapability) else other))

    def __hash__(self) -> int:
        return hash(self._found)

    def __repr__(self) -> str:
        return repr(self._found)


def without_capability(get_device_properties: Callable[..., Any]) -> Callable[..., Any]:
    """The function with a capability of 0.0 where what it returns has none."""

    def answered(*args: Any, **kwargs: Any) -> Any:
        found = get_device_properties(*args, **kwargs)
        return WithoutCapability(found) if getattr(found, "major", None) is None else found

    return wrappers.like(answered, get_device_properties)
