"""The settings of each file: those of the nearest pyproject.toml above it that has the table, as in ruff.

    pyproject.toml              [tool.diffsynth-port]       holds for a.py
    a.py
    lib/pyproject.toml          [tool.diffsynth-port]       holds for lib/b.py, in the place of the one above
    lib/b.py
    tools/pyproject.toml        no table: the one above holds

Options of the command line go over all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from porter.settings import Settings, settings_in

if TYPE_CHECKING:
    from porter.analysis.custom.rule_settings import CustomRule


class NestedSettings:
    """The settings of files by their folders. `base` are those of the run; without `search`, they hold everywhere."""

    def __init__(self, base: Settings, options: Mapping[str, Any], search: bool = True) -> None:
        self.base = base
        self._options = {**options, "exclude": ()}  # looked at once, where the run is
        self._known: dict[str, tuple[Settings, ...]] = {os.path.abspath(base.folder): ()}
        self._search = search

    def of(self, path: str) -> Settings:
        """The settings of a file. Raises SettingsError."""
        own = self.above(os.path.dirname(path))
        return own[0] if own else self.base

    def above(self, folder: str) -> tuple[Settings, ...]:
        """Those of the run left out: the settings of a folder and of the folders above it, the nearest first.

        Raises SettingsError.
        """
        if not self._search:
            return ()
        if folder not in self._known:
            here = os.path.abspath(folder)
            if here not in self._known:
                up = os.path.dirname(here)
                above = self.above(up) if up != here else ()
                own = settings_in(here)
                self._known[here] = (own.overridden_by(self._options), *above) if own is not None else above
            self._known[folder] = self._known[here]
        return self._known[folder]

    @property
    def rules(self) -> tuple[CustomRule, ...]:
        """The project's own rules, of the run and of every folder that was asked about."""
        every = (self.base, *(one for above in self._known.values() for one in above))
        return tuple({own.code: own for settings in reversed(every) for own in settings.rules}.values())

    def files(self, folders: Iterable[str]) -> set[str]:
        """Where the settings of these folders are, or would be: a change there is a change of theirs."""
        found = {os.path.join(self.base.folder, "pyproject.toml")}
        for folder in {os.path.abspath(one) for one in folders} if self._search else ():
            here = folder
            while (file := os.path.join(here, "pyproject.toml")) not in found:
                found.add(file)
                here = os.path.dirname(here)
        return found
