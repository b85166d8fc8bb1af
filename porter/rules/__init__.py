"""One rule a file, found by being there: rules about Python here, those about another language in its folder."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from porter.rules.rule import Rule


@cache
def languages() -> tuple[str, ...]:
    """What rules read: Python, and whatever has a folder here."""
    return ("python", *sorted(module.name for module in iter_modules(__path__) if module.ispkg))


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule, those of analyses too, in the order of their codes."""
    from porter.analysis import ANALYSES, analysis_rules

    found = [rule for language in languages() for rule in rules_for(language)]
    found += [rule for name in ANALYSES for rule in analysis_rules(name)]
    return tuple(sorted(found, key=lambda rule: rule.code))


@cache
def usual_rules() -> tuple[Rule, ...]:
    """The rules of a run that asks for no analysis."""
    return tuple(rule for rule in all_rules() if rule.analysis is None)


@cache
def rules_for(language: str) -> tuple[Rule, ...]:
    """The rules that read one language, in the order of their codes: of two that want to change the same place, the
    first one does. Those of other languages are not imported."""
    package = __name__ if language == "python" else f"{__name__}.{language}"
    modules = [module.name for module in iter_modules(import_module(package).__path__) if not module.ispkg]
    found = (getattr(import_module(f"{package}.{name}"), "RULE", None) for name in modules)
    return tuple(sorted((rule for rule in found if rule is not None), key=lambda rule: (rule.last, rule.code)))
