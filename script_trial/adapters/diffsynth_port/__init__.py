"""diffsynth-port's own package `diffsynth`: pipelines of Wan2.1, Wan2.2 and Qwen-Image, and their training."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from pathlib import Path

from script_trial.adapter import TrialOfAdapter

#: How its first line says that a package `diffsynth` is ours: DiffSynth-Studio's has the same name.
_FIRST_LINE = '"""Diffusion pipelines for NVIDIA, AMD, Ascend and CPU under one API.'


class DiffSynthPort:
    name = "diffsynth-port"
    library = "diffsynth"

    def is_for(self, spec: ModuleSpec) -> bool:
        if spec.origin is None or not spec.has_location:
            return False
        with open(spec.origin, encoding="utf-8", errors="replace") as file:
            return file.readline().rstrip() == _FIRST_LINE

    def without_device(self) -> list[str]:
        from script_trial.adapters.diffsynth_port.install import without_device

        return without_device()

    def warm(self) -> None:
        from script_trial.adapters.diffsynth_port.install import import_what_takes_long

        import_what_takes_long()

    def fill_stock(self, made_up: Path) -> None:
        from script_trial.adapters.diffsynth_port import in_stock

        in_stock.fill(made_up)

    def install(self, trial: TrialOfAdapter) -> None:
        from script_trial.adapters.diffsynth_port.install import install

        install(trial)


adapter = DiffSynthPort()

__all__ = ["adapter"]
