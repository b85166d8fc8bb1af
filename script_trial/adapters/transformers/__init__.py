"""The adapter for Hugging Face's transformers: small models of its own classes, tokenizers, generation, training."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from typing import Any

from script_trial.adapter import TrialOfAdapter


class TransformersAdapter:
    """See `script_trial.adapter.Adapter`."""

    name = "transformers"
    library = "transformers"

    def is_for(self, spec: ModuleSpec) -> bool:
        return spec.origin is not None

    def without_device(self) -> tuple[str, ...]:
        from script_trial.without_device import OF_TORCH, OF_TRANSFORMERS

        return OF_TORCH + OF_TRANSFORMERS

    def warm(self) -> None:
        from importlib import import_module

        for module in ("modeling_utils", "models.auto", "generation", "pipelines", "trainer"):
            import_module(f"transformers.{module}")
        import_module(f"{__name__}.hooks")

    def install(self, trial: TrialOfAdapter) -> None:
        from script_trial.adapters.transformers.hooks import install

        install(trial)


adapter: Any = TransformersAdapter()
