"""The functions that stand in front of torch's own: each translates one argument and calls on.

They are plain functions over a dict lookup, without decorators that torch.compile cannot trace, and keep the name,
module, signature and annotations of what they stand for, so that they are pickled, printed, inspected and traced as it
is. What takes tensors, and so may find its way into tables of functions, is a :class:`Builtin`, which takes a tenth of
a microsecond more to call.
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


class _NoSignature:
    """In the place of a signature: asking for it fails as it does for a C function, which has none to find."""

    @property
    def __class__(self) -> type:
        raise ValueError("no signature found for a builtin function of torch")

    @__class__.setter
    def __class__(self, value: type) -> None: ...


class Builtin(staticmethod):  # type: ignore[type-arg]
    """A wrapper that equals the C function it stands for, and hashes like it.

    So tables that are keyed by functions, as the ones behind ``__torch_function__`` are, find it by the other, and as
    an attribute of a class it is not bound.
    """

    def __init__(self, function: Function, raw: Any) -> None:
        super().__init__(function)
        self.raw = raw

    def __eq__(self, other: object) -> bool:
        return bool(self.raw == (other.raw if isinstance(other, Builtin) else other))

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        return repr(self.raw)

    def __reduce__(self) -> str:
        return str(self.__qualname__)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.raw)


def like(wrapper: Function, raw: Any) -> Function:
    """Gives a wrapper the name, module, text, signature and annotations of what it stands for."""
    for attribute in ("__name__", "__doc__", "__text_signature__"):
        with contextlib.suppress(AttributeError, TypeError):
            setattr(wrapper, attribute, getattr(raw, attribute))
    # C functions name their C class, under which no pickle finds them.
    owner = "Tensor." if inspect.ismethoddescriptor(raw) and not hasattr(raw, "__wrapped__") else ""
    wrapper.__qualname__ = raw.__qualname__ if inspect.isfunction(raw) else owner + wrapper.__name__
    wrapper.__module__ = getattr(raw, "__module__", None) or "torch"
    wrapper.__dict__.update({**getattr(raw, "__dict__", {}), "__wrapped__": raw})
    _annotate(wrapper, raw)
    # A function behind functools.lru_cache passes for one of C, but tells what it wraps.
    if (inspect.isbuiltin(raw) or inspect.ismethoddescriptor(raw)) and not hasattr(raw, "__wrapped__"):
        wrapper.__signature__ = _NO_SIGNATURE  # type: ignore[attr-defined]
    elif inspect.isfunction(raw) and not hasattr(raw, "__wrapped__"):  # a decorated one has its decorator's
        with contextlib.suppress(TypeError, ValueError):
            wrapper.__signature__ = inspect.signature(raw)  # type: ignore[attr-defined]
    return wrapper


_NO_SIGNATURE = _NoSignature()


def _annotate(wrapper: Function, raw: Any) -> None:
    if getattr(raw, "__annotate__", None) is not None:  # from Python 3.14 on they are evaluated when asked for
        wrapper.__annotate__ = raw.__annotate__  # type: ignore[attr-defined]
    else:
        wrapper.__annotations__ = dict(getattr(raw, "__annotations__", {}))


def placed(replacement: Any, module: str, name: str) -> Any:
    """Gives a function or class the place at which the program finds it, under which it is pickled."""
    replacement.__module__, replacement.__qualname__ = module, name
    return replacement


def factory(raw: Function, translation: Translation) -> Function:
    """For torch.zeros, Tensor.new_zeros and their kind, whose device is a keyword."""
    get = translation.devices.get

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if not kwargs:
            return raw(*args)
        device = get(kwargs.get("device"))
        if device is not None:
            kwargs["device"] = device
        return raw(*args, **kwargs)

    return like(wrapper, raw)


def unpinned(raw: Function, translation: Translation) -> Function:
    """For the same functions where the CPU stands in: nothing is copied from its memory, so nothing is pinned."""
    get, types = translation.devices.get, translation.types

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if types:
            kwargs.pop("pin_memory", None)
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


def keywords_of(cudas: Any, function: Any) -> dict[str, str]:
    """CUDA's keyword and the other name that ``function`` has for the parameter in the same place."""
    theirs, places = parameters(cudas), parameters(function)
    at = {position: name for name, (position, _) in places.items() if position is not None}
    return {
        name: at[position]
        for name, (position, _) in theirs.items()
        if name not in places and position in at and at[position] not in theirs
    }


def with_keywords(raw: Function, names: dict[str, str]) -> Function:
    """Takes CUDA's keywords besides its own."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return raw(*args, **{names.get(name, name): value for name, value in kwargs.items()})

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
