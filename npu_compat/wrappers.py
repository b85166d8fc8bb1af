"""The functions that stand in front of torch's own: each translates one argument and calls on.

They are plain functions over a dict lookup, without decorators that torch.compile cannot trace, and keep the name and
module of what they stand for, so that they are pickled, printed and traced under it.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from npu_compat.translation import Translation

Function = Callable[..., Any]


@dataclass(frozen=True)
class Spot:
    """A parameter that names a device.

    Attributes:
        name: keyword.
        position: place among the positional arguments; None: keyword only.
        translate: what turns CUDA's value into the accelerator's.
        default: value that torch takes where the argument is left out, if that is one of CUDA's; else None.
    """

    name: str
    position: int | None
    translate: Callable[[Any], Any]
    default: Any = None


def like(wrapper: Function, raw: Any) -> Function:
    """Gives a wrapper the name, module and text of what it stands for."""
    for attribute in ("__name__", "__doc__", "__text_signature__"):
        with contextlib.suppress(AttributeError, TypeError):
            setattr(wrapper, attribute, getattr(raw, attribute))
    # C functions name their C class, under which no pickle finds them.
    owner = "Tensor." if inspect.ismethoddescriptor(raw) else ""
    wrapper.__qualname__ = raw.__qualname__ if inspect.isfunction(raw) else owner + wrapper.__name__
    wrapper.__module__ = getattr(raw, "__module__", None) or "torch"
    wrapper.__dict__.update({**getattr(raw, "__dict__", {}), "__wrapped__": raw})
    return wrapper


def factory(raw: Function, translation: Translation) -> Function:
    """For torch.zeros and its kind, whose device is a keyword."""
    get = translation.devices.get

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if not kwargs:
            return raw(*args)
        device = get(kwargs.get("device"))
        if device is not None:
            kwargs["device"] = device
        return raw(*args, **kwargs)

    return like(wrapper, raw)


def first_or_keyword(raw: Function, translation: Translation) -> Function:
    """For Tensor.to and its kind, whose device is the first argument or a keyword."""
    get = translation.devices.get

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        if args:
            device = get(args[0])
            if device is not None:
                args = (device, *args[1:])
        if not kwargs:
            return raw(self, *args)
        device = get(kwargs.get("device"))
        if device is not None:
            kwargs["device"] = device
        return raw(self, *args, **kwargs)

    return like(wrapper, raw)


def with_spots(raw: Function, spots: Sequence[Spot]) -> Function:
    """For everything that is called rarely: any number of parameters, anywhere."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        for spot in spots:
            if spot.name in kwargs:
                kwargs[spot.name] = spot.translate(kwargs[spot.name])
            elif spot.position is not None and spot.position < len(args):
                before, after = args[: spot.position], args[spot.position + 1 :]
                args = (*before, spot.translate(args[spot.position]), *after)
            elif spot.default is not None:
                kwargs[spot.name] = spot.translate(spot.default)
        return raw(*args, **kwargs)

    return like(wrapper, raw)


def parameters(function: Any) -> dict[str, tuple[int | None, Any]]:
    """Position (None: keyword only) and default of every parameter; empty where a C function does not tell."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return {}
    places: dict[str, tuple[int | None, Any]] = {}
    for position, parameter in enumerate(found):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        default = None if parameter.default is parameter.empty else parameter.default
        places[parameter.name] = (None if parameter.kind is parameter.KEYWORD_ONLY else position, default)
    return places


def spots_of(function: Any, kinds: dict[str, str], translation: Translation) -> list[Spot]:
    """Where ``function`` takes the parameters named in ``kinds``; those it does not have are left out."""
    places = parameters(function)
    spots = []
    for name, kind in kinds.items():
        if name not in places:
            continue
        position, default = places[name]
        translate = translation.by_kind(kind)
        is_cudas = isinstance(default, str) and default in ("cuda", "nccl")
        spots.append(Spot(name, position, translate, default if is_cudas else None))
    return spots
