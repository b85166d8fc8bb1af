"""The model families: each folder here holds one, as a record called FAMILY. See docs/adding-a-family.md."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any

from diffsynth.families.family import Family

#: All families, in the order of their names.
FAMILIES: tuple[Family, ...] = tuple(
    import_module(f"{__name__}.{found.name}").FAMILY for found in pkgutil.iter_modules(__path__) if found.ispkg
)

#: The models that are told from their files, a row each: model_hash, model_name, model_class (a dotted path), and where
#: needed state_dict_converter and extra_kwargs. Append a row at run time to make one of your own known.
MODEL_CONFIGS: list[dict[str, Any]] = [
    {
        "model_hash": form.model_hash,
        "model_name": network.name,
        "model_class": network.model_class,
        "state_dict_converter": form.names,
        "extra_kwargs": dict(form.kwargs),
        "vram_units": network.vram_units,
    }
    for family in FAMILIES
    for network in family.networks
    for form in network.published
]
