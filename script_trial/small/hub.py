"""The folders that stand for models on a hub: where a script names one that is not here, its made-up folder is read.

What reads a model by its name is told a folder instead, so that the library's own loading runs, with whatever the
script says of types, variants and devices.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from script_trial.adapter import TrialOfAdapter

# Given the class that is asked to load, the name and the keywords: the folder, or None where it is another's.
Resolver = Callable[[Any, str, Mapping[str, Any]], "Path | None"]


class Hub:
    """Made-up folders by the names of models, for which every adapter adds what it knows."""

    def __init__(self, trial: TrialOfAdapter) -> None:
        self.trial = trial
        self._resolvers: list[Resolver] = []

    def add(self, resolver: Resolver, refuses: bool = False) -> None:
        """Adds one who is asked. `refuses`: it raises for what it does not know, hence is asked after the others."""
        self._resolvers.insert(len(self._resolvers) if refuses else 0, resolver)

    def folder(self, loading: Any, name: Any, keywords: Mapping[str, Any]) -> Any:
        """What to load instead of `name`: the user's own folder, a made-up one, or `name` if nobody knows better."""
        if not isinstance(name, (str, os.PathLike)) or os.path.exists(name):
            return name
        of_the_user = self.trial.started_in / name
        if of_the_user.exists():
            return of_the_user
        found = (resolve(loading, _as_id(name), keywords) for resolve in self._resolvers)
        return next((str(folder) for folder in found if folder is not None), name)

    def redirect(self, owner: Any, method: str = "from_pretrained") -> None:
        """Has a class's loading method read made-up folders. The class's own, not one that it inherits."""
        original = owner.__dict__[method].__func__

        @functools.wraps(original)
        def loading(cls: Any, name: Any = None, *args: Any, **keywords: Any) -> Any:
            for keyword in ("pretrained_model_name_or_path", "pretrained_model_or_path"):
                if name is None and keyword in keywords:
                    name = keywords.pop(keyword)
            return original(cls, self.folder(cls, name, keywords), *args, **keywords)

        setattr(owner, method, classmethod(loading))


def _as_id(name: Any) -> str:
    """The id that the end of a path gives: ``models/Wan-AI/Wan2.1-T2V-1.3B-Diffusers/`` and the like."""
    return "/".join(Path(name).parts[-2:])


_HUBS: dict[Path, Hub] = {}


def hub_of(trial: TrialOfAdapter) -> Hub:
    """The one hub of a trial, to which every adapter adds."""
    return _HUBS.setdefault(trial.folder, Hub(trial))
