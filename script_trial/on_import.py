"""Acts as soon as a module has been imported, wherever in a script that is, and before the script goes on."""

from __future__ import annotations

import builtins
import functools
import importlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Then = Callable[[ModuleSpec], None]


def on_import(waiting: Mapping[str, Then], by_name: Mapping[str, Then] | None = None) -> None:
    """From now on, each of these modules is acted on when it has been imported: at once if it has been already.

    Those of `by_name`, top-level ones, are acted on when something imports them from now on, though they may be there:
    a process that has imported them for others does not make a script one that uses them.
    """
    asked_for = by_name or {}
    there = {name: spec for name in waiting if (spec := _spec_of(name)) is not None}
    later = {name: then for name, then in waiting.items() if name not in there}
    later |= {name: then for name, then in asked_for.items() if _spec_of(name) is None}
    if later:
        sys.meta_path.insert(0, _Finder(later))
    _at_next_import({name: then for name, then in asked_for.items() if name not in later})
    for name, spec in there.items():
        waiting[name](spec)


def _spec_of(name: str) -> ModuleSpec | None:
    return getattr(sys.modules.get(name), "__spec__", None)


def _at_next_import(waiting: dict[str, Then]) -> None:
    """Acts on modules that are there when they are imported again, which asks no finder.

    What is imported may itself load more of the library, which imports the library: it is whole when the outermost
    import of it has come to its end.
    """
    if not waiting:
        return
    statement, function = builtins.__import__, importlib.import_module
    under_way: Counter[str] = Counter()

    @contextmanager
    def acted_on_after(name: str) -> Iterator[None]:
        under_way[name] += 1
        try:
            yield
        finally:
            under_way[name] -= 1
        then, spec = (None, None) if under_way[name] else (waiting.pop(name, None), _spec_of(name))
        if then is not None and spec is not None:
            then(spec)

    @functools.wraps(statement)
    def import_statement(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        top = name.partition(".")[0]
        if level or top not in waiting:
            return statement(name, globals, locals, fromlist, level)
        with acted_on_after(top):
            return statement(name, globals, locals, fromlist, level)

    @functools.wraps(function)
    def import_module(name: str, package: str | None = None) -> ModuleType:
        top = name.partition(".")[0]
        if top not in waiting:
            return function(name, package)
        with acted_on_after(top):
            return function(name, package)

    builtins.__import__, importlib.import_module = import_statement, import_module


class _Finder:
    """Lets the finders behind it find, and has the loader of a module that is waited for act after its work."""

    def __init__(self, waiting: dict[str, Then]) -> None:
        self._waiting = waiting

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        then = self._waiting.get(name)
        if then is None:
            return None
        # Those behind this one alone: another of its kind that waits for the module too would ask back.
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            ask = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = ask(name, path, target) if ask else None
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    spec.loader = _ThenLoader(spec.loader, self, spec, then)
                return spec
        return None

    def done(self, name: str) -> None:
        self._waiting.pop(name, None)


class _ThenLoader(Loader):
    """A module's own loader in all but one thing."""

    def __init__(self, own: Loader, finder: _Finder, spec: ModuleSpec, then: Then) -> None:
        self._own, self._finder, self._spec, self._then = own, finder, spec, then

    def __getattr__(self, name: str) -> object:
        return getattr(self._own, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._spec.loader = module.__loader__ = self._own  # whoever asks the module sees its own
        self._own.exec_module(module)
        self._finder.done(self._spec.name)
        self._then(self._spec)
