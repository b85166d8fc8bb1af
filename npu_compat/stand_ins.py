"""Stand-ins for torch.device, torch.Generator, torch.Stream and torch.Event.

These are C types that cannot be changed, so a class takes their place under the same name. It makes no objects of its
own: calling it gives real ones, ``isinstance`` and ``issubclass`` ask the real type, a subclass of it is a subclass of
the real type, and it equals the real type and hashes like it, so tables keyed by type find it. Only
``type(d) is torch.device`` is False; ``==`` is True.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from npu_compat.translation import Translation


class StandIn(type):
    """Metaclass of the stand-ins."""

    real: type
    make: Callable[..., Any]

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        real_bases = tuple(base.real if isinstance(base, StandIn) else base for base in bases)
        if real_bases != bases or any(base is not b for base, b in zip(real_bases, bases, strict=True)):
            return type(real_bases[0])(name, real_bases, namespace)
        return super().__new__(mcls, name, bases, namespace)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls.make(*args, **kwargs)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.real)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return subclass is cls or issubclass(subclass, cls.real)

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is cls.real or (isinstance(other, StandIn) and other.real is cls.real)

    def __hash__(cls) -> int:
        return hash(cls.real)

    def __getattr__(cls, name: str) -> Any:
        return getattr(cls.real, name)

    @property
    def __signature__(cls) -> inspect.Signature:
        return inspect.signature(cls.real)

    def __repr__(cls) -> str:
        return repr(cls.real)


def stand_in(real: type, make: Callable[..., Any]) -> type:
    """A stand-in for ``real`` whose calls go to ``make``."""
    namespace = {
        "__module__": "torch",
        "__qualname__": real.__name__,
        "__doc__": real.__doc__,
        "real": real,
        "make": staticmethod(make),
    }
    made: type = StandIn(real.__name__, (), namespace)
    return made


def device_stand_in(real: type, translation: Translation) -> type:
    """torch.device: a string, type and index by place or keyword, or a device; all give the accelerator's."""
    get = translation.devices.get

    def make(*args: Any, **kwargs: Any) -> Any:
        if not kwargs and len(args) == 1:
            device = get(args[0])
            return real(args[0]) if device is None else device
        device = real(*args, **kwargs)
        return get(device, device)

    return stand_in(real, make)


def first_device_stand_in(real: type, translation: Translation) -> type:
    """torch.Generator, torch.Stream, torch.Event: the device is the first argument or a keyword."""

    def make(*args: Any, **kwargs: Any) -> Any:
        if args:
            args = (translation.device(args[0]), *args[1:])
        if "device" in kwargs:
            kwargs["device"] = translation.device(kwargs["device"])
        return real(*args, **kwargs)

    return stand_in(real, make)
