"""Analyses that a run does only when asked: each has a folder here, an option of the command and codes of its own."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from porter.rules.rule import Rule

#: By the option that asks for it: the folder here, and what the codes of its rules begin with.
ANALYSES = {
    "affinity": ("affinity", "DP5"),
    "dynamic-shapes": ("dynamic_shapes", "DP6"),
    "packages": ("packages", "DP7"),
}


@cache
def analysis_rules(name: str) -> tuple[Rule, ...]:
    """The rules of one analysis. Those of others are not imported."""
    package = f"{__name__}.{ANALYSES[name][0]}"
    modules = [module.name for module in iter_modules(import_module(package).__path__)]
    found = (getattr(import_module(f"{package}.{module}"), "RULE", None) for module in modules)
    return tuple(sorted((rule for rule in found if rule is not None), key=lambda rule: rule.code))


@cache
def asked_for(codes: frozenset[str] | None) -> tuple[Rule, ...]:
    """The rules of the analyses that any of these codes belongs to; without codes, of none."""
    prefixes = {code[:3] for code in codes or ()}
    names = (name for name, (_, prefix) in ANALYSES.items() if prefix in prefixes)
    return tuple(rule for name in names for rule in analysis_rules(name))
