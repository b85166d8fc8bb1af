"""The made-up folder of a pipeline or of one of its networks, as diffusers itself saves it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from script_trial.adapter import CannotMakeUp, TrialOfAdapter
from script_trial.adapters.diffusers.components import make_components
from script_trial.adapters.diffusers.published import NETWORKS, Published, of_class, published
from script_trial.small.networks import build, small_arguments, told_of
from script_trial.small.random_weights import fill, making_up


class Folders:
    """Finds or writes the folder of a model; a `Resolver`."""

    def __init__(self, trial: TrialOfAdapter) -> None:
        self._trial = trial

    def __call__(self, loading: Any, model_id: str, keywords: Mapping[str, Any]) -> Path | None:
        """The folder that this class loads in place of the model; None where it is none of diffusers'.

        Raises:
            CannotMakeUp: the id names no known pipeline, and neither does the class.
        """
        from diffusers import DiffusionPipeline, ModelMixin

        known = published(model_id)
        if _is_pipeline_loader(loading):
            own = issubclass(loading, DiffusionPipeline) and loading is not DiffusionPipeline
            return self._pipeline(
                _class_of(loading, known, model_id) if not own else loading, known, model_id, keywords
            )
        subfolder = keywords.get("subfolder")
        if known is not None and subfolder:
            pipeline = self._pipeline(_named(known.pipeline), known, model_id, keywords)
            if (pipeline / subfolder).exists():
                return pipeline
        if isinstance(loading, type) and issubclass(loading, ModelMixin):
            return self._network(loading, model_id, keywords)
        if known is not None and _is_of_diffusers(loading):
            return self._pipeline(_named(known.pipeline), known, model_id, keywords)
        return None

    def _pipeline(
        self, pipeline_class: Any, known: Published | None, model_id: str, keywords: Mapping[str, Any]
    ) -> Path:
        made_of = of_class(pipeline_class.__name__, known)
        variant = keywords.get("variant")

        def write(place: Path) -> None:
            with told_of(f"a {pipeline_class.__name__} of {model_id}"), making_up():
                pipeline = pipeline_class(**make_components(pipeline_class, made_of, model_id))
            pipeline.save_pretrained(place, variant=variant)

        return self._once(f"{model_id}/{pipeline_class.__name__}", variant, write)

    def _network(self, network_class: Any, model_id: str, keywords: Mapping[str, Any]) -> Path:
        subfolder, variant = keywords.get("subfolder"), keywords.get("variant")

        def write(place: Path) -> None:
            with told_of(f"a {network_class.__name__} of {model_id}"):
                arguments = small_arguments(network_class, NETWORKS.get(network_class.__name__, {}))
                network: Any = build(network_class, **arguments)
            fill(network, f"{model_id}/{subfolder}")
            network.save_pretrained(place / (subfolder or ""), variant=variant)

        return self._once(f"{model_id}/{network_class.__name__}-{subfolder or ''}", variant, write)

    def _once(self, name: str, variant: str | None, write: Any) -> Path:
        return self._trial.once(f"diffusers/{name}{f'-{variant}' if variant else ''}", write)


def _is_pipeline_loader(loading: Any) -> bool:
    from diffusers import DiffusionPipeline

    return isinstance(loading, type) and (
        issubclass(loading, DiffusionPipeline) or loading.__name__.startswith("AutoPipelineFor")
    )


def _is_of_diffusers(loading: Any) -> bool:
    return isinstance(loading, type) and loading.__module__.partition(".")[0] == "diffusers"


def _class_of(loading: Any, known: Published | None, model_id: str) -> Any:
    if known is None:
        raise CannotMakeUp(
            f"the pipeline {model_id}, whose id names none that is known: load it by its own class instead of "
            f"{loading.__name__}, or have its folder here"
        )
    return _named(known.pipeline)


def _named(name: str) -> Any:
    import diffusers

    return getattr(diffusers, name)
