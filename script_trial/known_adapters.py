"""Which adapters there are: those of `script_trial.adapters`, and those of other distributions."""

from __future__ import annotations

import functools
import pkgutil
import warnings
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.metadata import entry_points

from script_trial import adapters
from script_trial.adapter import Adapter

#: Where other distributions name theirs: an object, or the module that holds it as `adapter`.
GROUP = "script_trial.adapters"


@functools.cache
def known_adapters() -> tuple[Adapter, ...]:
    """All of them; imports no library. Warns of one of another distribution that cannot be imported, and leaves it."""
    own = [
        import_module(f"{adapters.__name__}.{found.name}").adapter for found in pkgutil.iter_modules(adapters.__path__)
    ]
    others: list[Adapter] = []
    for point in entry_points(group=GROUP):
        try:
            loaded = point.load()
        except Exception as error:
            warnings.warn(f"the adapter {point.name} ({point.value}) is left out: {error}", stacklevel=2)
        else:
            others.append(getattr(loaded, "adapter", loaded))
    return (*others, *own)


def libraries() -> frozenset[str]:
    """The top-level modules that some adapter knows."""
    return frozenset(adapter.library for adapter in known_adapters())


def adapter_for(spec: ModuleSpec) -> Adapter | None:
    """The adapter for what would be imported by this spec."""
    return next((one for one in known_adapters() if one.library == spec.name and one.is_for(spec)), None)
