"""The settings of an editor's documents, read anew when their files change."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from porter.nested_settings import NestedSettings
from porter.port import Plan
from porter.settings import Settings, SettingsError, every_rule, load_settings, selected_codes
from porter.targets import default_hardware


class Project:
    """The settings of every document, as the files that they stand in are now."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forgets what was read. What cannot be read is told of each document that it is about."""
        self._problem: SettingsError | None = None
        try:
            base = load_settings().overridden_by(self._options)
        except SettingsError as error:
            self._problem, base = error, Settings().overridden_by(self._options)
        self._nested = NestedSettings(base, self._options)
        self._seen: dict[str, tuple[int, int] | None] = {}

    def of(self, path: str) -> Settings:
        """The settings of a file. Raises SettingsError."""
        files = self._nested.files([os.path.dirname(path)])
        if any(file in self._seen and self._seen[file] != _state(file) for file in files):
            self.begin_anew()
        self._seen |= {file: _state(file) for file in files if file not in self._seen}
        if self._problem is not None:
            raise self._problem
        return self._nested.of(path)

    def plan(self, path: str) -> Plan | None:
        """How a file is ported; None for one that `exclude` leaves out, or without a target. Raises SettingsError."""
        settings = self.of(path)
        target = settings.target or self._nested.base.target
        above = (*self._nested.above(os.path.dirname(path)), self._nested.base)
        if target in (None, "cuda") or any(one.excludes(path) for one in above):
            return None
        rules = every_rule(settings.rules)
        codes = selected_codes(settings.select, settings.ignore, rules)
        if settings.select is None:
            own = [one.code for one in settings.rules]
            codes |= selected_codes(own, settings.ignore, rules) if own else frozenset()
        return Plan(
            target=target,
            hardware=settings.hardware or default_hardware(target),
            codes=codes - settings.ignored_codes(path),
            torch_npu=settings.torch_npu,
            own=settings.rules,
            shows_edits=True,
            unsafe=settings.unsafe_fixes is True,  # many editors fix what they save, and nobody looks then
        )


def _state(file: str) -> tuple[int, int] | None:
    try:
        state = os.stat(file)
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size
