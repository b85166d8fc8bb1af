"""The callables of torch that take a device, from surface.json, as patches."""

from __future__ import annotations

import functools
import importlib.resources
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils._device import _device_constructors

from npu_compat import stand_ins, tensor_methods, wrappers
from npu_compat.accelerators import load
from npu_compat.patcher import Attribute, Patch
from npu_compat.translation import Translation

_OWN_METHODS = {"cuda": tensor_methods.cuda_method, "type": tensor_methods.type_method}
_HOST_METHODS = {
    "pin_memory": tensor_methods.host_pin_memory,
    "record_stream": tensor_methods.host_record_stream,
}


@functools.cache
def read_surface() -> dict[str, Any]:
    """The table itself."""
    table: dict[str, Any] = json.loads(
        importlib.resources.files("npu_compat").joinpath("surface.json").read_text("utf-8")
    )
    return table


def find(path: str) -> tuple[Any, str] | None:
    """Owner and name of ``torch.a.b.name``; None where this torch lacks it, or nothing has imported its module yet."""
    module, _, name = path.rpartition(".")
    owner: Any = sys.modules.get(module)
    if owner is None:  # a module that has no file of its own, or a class
        owner = torch
        for part in module.split(".")[1:]:
            owner = getattr(owner, part, None)
    return (owner, name) if hasattr(owner, name) else None


@functools.cache
def known_releases() -> frozenset[str]:
    """The names that came or went with a release of torch that the tables know."""
    return frozenset(name for kind in ("came", "went") for names in read_surface()[kind].values() for name in names)


def unknown_names() -> Iterator[str]:
    """What a torch newer than the tables has beyond them.

    Names of torch.cuda, factories that a default device acts on, and functions of torch.accelerator that take a device.
    """
    cuda = load("npu")
    listed = {f"torch.cuda.{name}" for name in (*cuda.names, *cuda.lacking, *cuda.unchanged)} | known_releases()
    yield from (name for name in (f"torch.cuda.{name}" for name in torch.cuda.__all__) if name not in listed)
    surface = read_surface()
    known = {getattr(torch, name, None) for name in (*surface["factories"], *surface["not_factories"])}
    known |= {
        getattr(*place) for path in (*surface["functions"], *surface["classes"]) if (place := find(path)) is not None
    }
    yield from (f"torch.{function.__name__}" for function in _device_constructors() if function not in known)
    for name in getattr(torch.accelerator, "__all__", ()):
        function = getattr(torch.accelerator, name)
        if function not in known and {"device", "device_index"} & wrappers.parameters(function).keys():
            yield f"torch.accelerator.{name}"


def surface_patches(translation: Translation) -> Iterator[Patch]:
    """One patch for every binding of every callable in the modules that are loaded."""
    yield from _types(translation)
    yield from _factories(translation)
    yield from _methods(translation)
    for module in _modules() & sys.modules.keys():
        yield from module_patches(module, translation)
    raw = torch.set_default_tensor_type
    replaced = tensor_methods.default_tensor_type(raw, translation)
    yield Attribute(torch, "set_default_tensor_type", replaced, "torch.set_default_tensor_type")
    if translation.accelerator.name == "cpu":  # a module's `to` takes a number for an accelerator of torch's own
        moved = wrappers.first_or_keyword(torch.nn.Module.to, translation)
        yield Attribute(torch.nn.Module, "to", moved, "torch.nn.Module.to")


def late_modules() -> set[str]:
    """Modules of torch in the table that nothing has imported yet."""
    return _modules() - sys.modules.keys()


def module_patches(module: str, translation: Translation) -> Iterator[Patch]:
    """Patches of the classes and functions that the table has of one module."""
    for path, kinds in read_surface()["classes"].items():
        found = find(path) if kinds and path.rpartition(".")[0] == module else None
        if found is not None:
            yield from class_patches(getattr(*found), kinds, translation, path)
    for path, kinds in read_surface()["functions"].items():
        found = find(path) if path.rpartition(".")[0] == module else None
        if found is not None:
            yield from _function_patches(path, kinds, found, translation)


def _modules() -> set[str]:
    paths = {**read_surface()["classes"], **read_surface()["functions"]}
    return {path.rpartition(".")[0] for path in paths}


def _types(translation: Translation) -> Iterator[Patch]:
    make = {"device": stand_ins.device_stand_in, "first": stand_ins.first_device_stand_in}
    for path, kind in read_surface()["types"].items():
        found = find(path)
        if found is not None:
            owner, name = found
            yield Attribute(owner, name, make[kind](getattr(owner, name), translation), path)


def _factories(translation: Translation) -> Iterator[Patch]:
    positional = read_surface()["positional"]
    make, of_tensors = _keyword_wrapper(translation), set(read_surface()["of_tensors"])
    for name in read_surface()["factories"]:
        raw = getattr(torch, name, None)
        if raw is None:
            continue
        if name in positional:
            wrapper = wrappers.with_spots(raw, [wrappers.Spot("device", positional[name], translation.device)])
        else:
            wrapper = make(raw, translation)
        if name in of_tensors:
            wrapper = wrappers.Builtin(wrapper, raw)
        yield Attribute(torch, name, wrapper, f"torch.{name}")


def _keyword_wrapper(translation: Translation) -> Callable[..., Any]:
    return wrappers.unpinned if translation.accelerator.name == "cpu" else wrappers.factory


def _methods(translation: Translation) -> Iterator[Patch]:
    makers: dict[str, Callable[..., Any]] = {
        "keyword": _keyword_wrapper(translation),
        "first": wrappers.first_or_keyword,
    }
    own = _OWN_METHODS | (_HOST_METHODS if translation.accelerator.name == "cpu" else {})
    for name, kind in read_surface()["methods"].items():
        if name == "is_cuda" or (kind == "as_is" and name not in own):
            continue
        make = own.get(name) or makers[kind]
        yield Attribute(torch.Tensor, name, make(getattr(torch.Tensor, name), translation), f"torch.Tensor.{name}")
    flag = translation.accelerator.flag
    if flag is not None:
        yield Attribute(torch.Tensor, "is_cuda", _descriptor(flag), "torch.Tensor.is_cuda")


def _descriptor(flag: str) -> Any:
    return next(vars(owner)[flag] for owner in torch.Tensor.__mro__ if flag in vars(owner))


def class_patches(owner: type, kinds: dict[str, str], translation: Translation, label: str) -> Iterator[Patch]:
    """Patches of the constructors of a class; the class stays what it is."""
    for name in ("__new__", "__init__"):
        raw = vars(owner).get(name)
        function = raw.__func__ if isinstance(raw, staticmethod) else raw
        spots = wrappers.spots_of(function, kinds, translation)
        if function is not None and spots:
            wrapper: Any = wrappers.with_spots(function, spots)
            yield Attribute(owner, name, staticmethod(wrapper) if name == "__new__" else wrapper, label)


def _function_patches(
    path: str, kinds: dict[str, str], found: tuple[Any, str], translation: Translation
) -> Iterator[Patch]:
    raw = getattr(*found)
    wrapper = wrappers.with_spots(raw, _spots(path, raw, kinds, translation))
    wrapper = wrappers.placed(wrapper, *path.rpartition(".")[::2])
    if inspect.isbuiltin(raw):
        wrapper = wrappers.Builtin(wrapper, raw)
    for owner, name in _bindings(path, found, raw):
        yield Attribute(owner, name, wrapper, path)


def _spots(path: str, raw: Any, kinds: dict[str, str], translation: Translation) -> list[wrappers.Spot]:
    places = read_surface()["places"].get(path)
    if places is None:
        return wrappers.spots_of(raw, kinds, translation)
    return [wrappers.Spot(name, place, translation.by_kind(kinds[name])) for name, place in places.items()]


def _bindings(path: str, found: tuple[Any, str], raw: Any) -> Iterator[tuple[Any, str]]:
    """Every place the function is known by: its own, those in the table, and the package that re-exports it."""
    yield found
    others = [f"{package}.{found[1]}" for package in read_surface()["packages"] if path.startswith(f"{package}.")]
    for other in {*read_surface()["same"].get(path, ()), *others} - {path}:
        place = find(other)
        if place is not None and getattr(*place) is raw:
            yield place
