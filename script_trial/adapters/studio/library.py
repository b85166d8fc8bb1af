"""Modules of DiffSynth-Studio, imported where they are needed and no sooner."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def studio(module: str) -> Any:
    """The module ``diffsynth.MODULE``."""
    return import_module(f"diffsynth.{module}")
