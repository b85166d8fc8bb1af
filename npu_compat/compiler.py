"""What torch.compile has to be told.

It knows functions by identity, in tables made on first use: they get wrappers and originals both.
A table that is made while the redirect is on holds the wrappers and lacks what they replaced; the originals are added
for good, since they are what torch has afterwards. A table made before lacks the wrappers, which are added for a time.
A wrapper that is no plain function is traced only where it is among the callables that may stand in a graph.
"""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from npu_compat import wrappers
from npu_compat.patcher import Attribute, Entry, Patch

RULES = "torch._dynamo.trace_rules"
FOLDED = "torch._dynamo.variables.torch"
CACHE = "torch._inductor.codecache"
MODULES = frozenset({RULES, FOLDED, CACHE})

Pairs = list[tuple[Any, Any]]


def replaced_functions(patches: Iterable[Patch]) -> Pairs:
    """Originals and wrappers of all functions that ``patches``, which are not applied yet, replace."""
    attributes = [patch for patch in patches if isinstance(patch, Attribute)]
    pairs = [(getattr(patch.target, patch.name, None), patch.value) for patch in attributes]
    return [(raw, wrapper) for raw, wrapper in pairs if callable(raw) and _hashable(raw) and _hashable(wrapper)]


@dataclass(frozen=True)
class InGraph:
    """Lets ``value`` stand in graphs, by its place in a set of ids of torch._dynamo."""

    ids: Any
    value: Any
    label: str

    def apply(self) -> Callable[[], None]:
        self.ids.add(id(self.value))
        return lambda: self.ids.remove(id(self.value))

    def in_force(self) -> bool:
        return id(self.value) in self.ids


def compiler_patches(module: str, pairs: Pairs) -> Iterator[Patch]:
    """Patches of one of MODULES, if it is loaded."""
    loaded = sys.modules.get(module)
    if loaded is None:
        return
    if module == RULES:
        made = _with_both(loaded.get_torch_obj_rule_map, pairs)
        yield Attribute(loaded, "get_torch_obj_rule_map", made, "torch.compile's rules")
        for raw, wrapper in pairs:
            if isinstance(wrapper, wrappers.Builtin):
                yield InGraph(loaded._allowed_callable_ids, wrapper, f"torch.compile of {raw.__name__}")
        return
    if module == CACHE:
        made = staticmethod(_system_without_cuda(loaded.CacheBase.get_system))
        yield Attribute(loaded.CacheBase, "get_system", made, "torch.compile's key of the machine")
        return
    for name in ("constant_fold_functions", "constant_fold_functions_need_guards"):
        table = getattr(loaded, name, None)
        if isinstance(table, dict):
            _add_originals(table, pairs)
            for raw, wrapper in pairs:
                if raw in table and wrapper not in table:
                    yield Entry(table, wrapper, table[raw], f"torch.compile of {getattr(raw, '__name__', raw)}")


def _with_both(rules: Any, pairs: Pairs) -> Any:
    @functools.cache
    def get_torch_obj_rule_map() -> Any:
        table = rules()
        _add_originals(table, pairs)
        for raw, wrapper in pairs:
            if raw in table:
                table.setdefault(wrapper, table[raw])
        return table

    return get_torch_obj_rule_map


def _system_without_cuda(get_system: Callable[[], Any]) -> Callable[[], Any]:
    """A machine whose torch.cuda answers, but not with the properties of an NVIDIA or AMD card: as one without."""

    def answered() -> Any:
        try:
            return get_system()
        except AttributeError:
            return {"hash": hashlib.sha256(b"{}").hexdigest()}

    return wrappers.like(answered, get_system)


def _add_originals(table: dict[Any, Any], pairs: Pairs) -> None:
    for raw, wrapper in pairs:
        if wrapper in table:
            table.setdefault(raw, table[wrapper])


def _hashable(value: Any) -> bool:
    return isinstance(value, Hashable)
