"""The adapter for Hugging Face's diffusers: small pipelines from their classes' own signatures, and shorter calls."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from typing import Any

from script_trial.adapter import TrialOfAdapter


class DiffusersAdapter:
    """See `script_trial.adapter.Adapter`."""

    name = "diffusers"
    library = "diffusers"

    def is_for(self, spec: ModuleSpec) -> bool:
        return spec.origin is not None

    def without_device(self) -> tuple[str, ...]:
        from script_trial.without_device import OF_TORCH, OF_TRANSFORMERS

        return OF_TORCH + OF_TRANSFORMERS

    def warm(self) -> None:
        from importlib import import_module

        for module in ("pipelines.pipeline_utils", "pipelines.auto_pipeline", "loaders", "image_processor"):
            import_module(f"diffusers.{module}")
        import_module(f"{__name__}.hooks")

    def install(self, trial: TrialOfAdapter) -> None:
        from script_trial.adapters.diffusers.hooks import install

        install(trial)


adapter: Any = DiffusersAdapter()
