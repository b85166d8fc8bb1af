"""Fills ``torch.cuda`` in place with the accelerator's functions; the module objects stay what they are."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import torch

from npu_compat import host_device, wrappers
from npu_compat.accelerators import Accelerator
from npu_compat.device_properties import without_capability
from npu_compat.errors import UnsupportedOnAccelerator
from npu_compat.hardware import hardware_line
from npu_compat.patcher import Attribute, Patch
from npu_compat.surface import class_patches, read_surface
from npu_compat.torch_npu_builds import way_to
from npu_compat.translation import Translation

_DEVICE_PARAMETERS = dict.fromkeys(("device", "device_id", "device_name", "peer_device_id"), "device")


#: The submodule whose names go through torch.amp, which is redirected itself.
_AMP = "amp"


class CudaNamespace:
    """The patches of one accelerator, and what could not be redirected.

    Attributes:
        missing: names of torch.cuda that raise UnsupportedOnAccelerator, with the nearest equivalent.
        quiet: names of torch.cuda that do nothing.
    """

    def __init__(self, translation: Translation, source: Any) -> None:
        """``source`` is what the paths of the accelerator's table start from: torch itself."""
        self._translation = translation
        self._accelerator: Accelerator = translation.accelerator
        self._source = source
        self._made: dict[int, Any] = {}
        self.missing: dict[str, str] = {}
        self.quiet: list[str] = []

    def patches(self) -> Iterator[Patch]:
        """Patches of every public name, and of the private ones the accelerator has too."""
        names = self._accelerator.names
        for name, path in names.items():
            if not name.startswith(f"{_AMP}."):
                yield from self._filled(name, path)
        for name, nearest in self._accelerator.lacking.items():
            yield from self._lacking(name, nearest)
        known = {*names, *self._accelerator.lacking, *self._accelerator.unchanged, _AMP}
        for name in torch.cuda.__all__:
            if name not in known:
                yield from self._unlisted(name)

    def _unlisted(self, name: str) -> Iterator[Patch]:
        """A name that came or went with a release of torch, or is newer than the tables."""
        path = f"{self._accelerator.module}.{name}"
        if _resolve(self._source, path) is not None:
            yield from self._filled(name, path)
        else:
            yield from self._lacking(name, "")

    def _filled(self, name: str, path: str) -> Iterator[Patch]:
        owner, leaf = _owner_of(name)
        if owner is None or isinstance(getattr(owner, leaf, None), ModuleType):
            return
        value = _resolve(self._source, path)
        if value is None:  # the accelerator's submodules may be fewer than CUDA's
            value = _resolve(self._source, self._accelerator.names.get(leaf, path))
        if value is None:
            way = way_to(path) if self._accelerator.name == "npu" else ""
            if way or not _is_private(name):
                yield from self._lacking(name, way)
        elif callable(value):
            yield from self._constructors(value, name)
            replaced = self._redirected(name, value)
            if hasattr(getattr(owner, leaf, None), "__wrapped__") and not hasattr(replaced, "__wrapped__"):
                replaced = _decorated(replaced, name)
            yield Attribute(owner, leaf, replaced, f"torch.cuda.{name}")
        elif not _is_private(name) and not isinstance(value, ModuleType):
            yield Attribute(owner, leaf, value, f"torch.cuda.{name}")

    def _constructors(self, value: Any, name: str) -> Iterator[Patch]:
        if isinstance(value, type) and id(value) not in self._made:
            self._made[id(value)] = value
            yield from class_patches(value, _DEVICE_PARAMETERS, self._translation, f"torch.cuda.{name}")

    def _redirected(self, name: str, value: Any) -> Any:
        """The accelerator's function itself, unless it takes a device or is limited to some hardware."""
        if isinstance(value, type):
            return value
        if id(value) not in self._made:
            adapted = self._adapted(name, value)
            self._made[id(value)] = adapted if adapted is value else _placed(adapted, name)
        return self._made[id(value)]

    def _adapted(self, name: str, value: Any) -> Any:
        if name in self._accelerator.drops_device_argument:
            return _without_device(value)
        if name == "get_device_capability":
            value = _capability(value)
        if name == "get_device_properties":
            value = without_capability(value)
        if name in self._accelerator.unsupported:
            value = self._where_supported(name, value)
        spots = wrappers.spots_of(value, _DEVICE_PARAMETERS, self._translation)
        adapted = wrappers.with_spots(value, spots) if spots else value
        owner, leaf = _owner_of(name)
        keywords = wrappers.keywords_of(getattr(owner, leaf, None), value)
        return wrappers.with_keywords(adapted, keywords) if keywords else adapted

    def _where_supported(self, name: str, value: Callable[..., Any]) -> Callable[..., Any]:
        lines = self._accelerator.unsupported[name]

        def checked(*args: Any, **kwargs: Any) -> Any:
            if self._hardware() in lines:
                raise self._error(name, "")
            return value(*args, **kwargs)

        return wrappers.like(checked, value)

    def _lacking(self, name: str, nearest: str) -> Iterator[Patch]:
        owner, leaf = _owner_of(name)
        value = _loaded(owner, leaf, name)
        if isinstance(value, ModuleType):
            for below in _public(value):
                if f"{name}.{below}" not in self._accelerator.names:  # a module that lacks some has the others
                    yield from self._lacking(f"{name}.{below}", nearest)
            return
        replacement = self._replacement(name, value, nearest)
        if replacement is not None:
            yield Attribute(owner, leaf, replacement, f"torch.cuda.{name}")

    def _replacement(self, name: str, value: Any, nearest: str) -> Any:
        """What stands for a name the accelerator lacks; None: what is there can stay."""
        surface = read_surface()
        if name in surface["single_device"] and not self._accelerator.indexed:
            return getattr(host_device, name)
        if name in surface["quiet"]:
            self.quiet.append(f"torch.cuda.{name}")
            kind = surface["quiet"][name]
            return _QuietRange if kind == "context" else _placed(_constant(_QUIET[kind]), name)
        if name in surface["values"]:
            return _placed(_constant(surface["values"][name]), name)
        is_error = isinstance(value, type) and issubclass(value, BaseException)
        if not callable(value) or is_error or name.startswith(("comm.", "sparse.")):
            return None
        self.missing[f"torch.cuda.{name}"] = nearest
        return self._refusal(name, value, nearest)

    def _refusal(self, name: str, value: Any, nearest: str) -> Any:
        def refuse(*_: Any, **__: Any) -> Any:
            raise self._error(name, nearest)

        if isinstance(value, type):  # stays a class, so isinstance against it still works
            return _placed(type(value.__name__, (), {"__new__": refuse, "__doc__": value.__doc__}), name)
        return _placed(wrappers.like(refuse, value), name)

    def _error(self, name: str, nearest: str) -> UnsupportedOnAccelerator:
        return UnsupportedOnAccelerator(f"torch.cuda.{name}", self._accelerator.name, self._hardware(), nearest)

    def _hardware(self) -> str | None:
        return hardware_line(self._accelerator, getattr(torch, self._accelerator.module, None))


def _owner_of(name: str) -> tuple[Any, str]:
    """The torch.cuda module that holds ``memory.empty_cache``, and the last part of it."""
    module, _, leaf = f"torch.cuda.{name}".rpartition(".")
    return sys.modules.get(module), leaf


def _placed(replacement: Any, name: str) -> Any:
    return wrappers.placed(replacement, *f"torch.cuda.{name}".rpartition(".")[::2])


def _loaded(owner: Any, leaf: str, name: str) -> Any:
    """What the name stands for; a submodule that nothing has imported yet is imported."""
    if owner is None or hasattr(owner, leaf):
        return getattr(owner, leaf, None)
    try:
        return importlib.import_module(f"torch.cuda.{name}")
    except ImportError:  # another version of torch, without it
        return None


def _public(module: ModuleType) -> list[str]:
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    names = getattr(module, "__all__", None) or [name for name in own if not name.startswith("_")]
    return [name for name in names if not isinstance(getattr(module, name, None), ModuleType)]


def _resolve(source: Any, path: str) -> Any:
    for part in path.split("."):
        source = getattr(source, part, None)
    return source


def _is_private(name: str) -> bool:
    return any(part.startswith("_") for part in name.split("."))


def _without_device(value: Callable[..., Any]) -> Callable[..., Any]:
    takes = [name for name in wrappers.parameters(value) if name != "device"]

    def called(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop("device", None)
        return value(*args[: len(takes)], **kwargs)

    return wrappers.like(called, value)


def _capability(value: Callable[..., Any]) -> Callable[..., Any]:
    """Compute capability (0, 0) where the accelerator has none, so that ``>= (8, 0)`` is False and no error."""

    def get_device_capability(device: Any = None) -> Any:
        return value(device) or (0, 0)

    return wrappers.like(get_device_capability, value)


def _decorated(value: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A function with the ``__wrapped__`` that torch reads where its own is a decorated one, as torch.compile does."""

    def called(*args: Any, **kwargs: Any) -> Any:
        return value(*args, **kwargs)

    return _placed(wrappers.like(called, value), name)  # type: ignore[no-any-return]


def _constant(value: Any) -> Callable[..., Any]:
    def constant(*_: Any, **__: Any) -> Any:
        return list(value) if isinstance(value, list) else value

    return constant


class _QuietRange(contextlib.ContextDecorator):
    """Stands for torch.cuda.nvtx.range and its kind: a context and a decorator without effect."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


_QUIET = {"nothing": None, "level": 0}
