"""Where the library is hooked into: what loads, what generates, what trains."""

from __future__ import annotations

from importlib import import_module

from script_trial.adapter import TrialOfAdapter
from script_trial.adapters.transformers.folders import Folders
from script_trial.adapters.transformers.generation import shorten_generation
from script_trial.adapters.transformers.training import shorten_training
from script_trial.small.hub import hub_of
from script_trial.small.web import made_up_web

# What loads something by a model's id: modules below transformers, and the classes there.
_LOADING = {
    "modeling_utils": ("PreTrainedModel",),
    "configuration_utils": ("PretrainedConfig",),
    "tokenization_utils_base": ("PreTrainedTokenizerBase",),
    "processing_utils": ("ProcessorMixin",),
    "image_processing_base": ("ImageProcessingMixin",),
    "feature_extraction_utils": ("FeatureExtractionMixin",),
    "video_processing_utils": ("BaseVideoProcessor",),
    "generation.configuration_utils": ("GenerationConfig",),
    "models.auto.auto_factory": ("_BaseAutoModelClass",),
    "models.auto.configuration_auto": ("AutoConfig",),
    "models.auto.tokenization_auto": ("AutoTokenizer",),
    "models.auto.processing_auto": ("AutoProcessor",),
    "models.auto.image_processing_auto": ("AutoImageProcessor",),
    "models.auto.feature_extraction_auto": ("AutoFeatureExtractor",),
    "models.auto.video_processing_auto": ("AutoVideoProcessor",),
}


def install(trial: TrialOfAdapter) -> None:
    """Hooks into transformers, in the process of a script."""
    go_offline()
    hub = hub_of(trial)
    hub.add(Folders(trial), refuses=True)
    for module, names in _LOADING.items():
        for name in names:
            owner = getattr(import_module(f"transformers.{module}"), name, None)
            if owner is not None and "from_pretrained" in vars(owner):
                hub.redirect(owner)
    shorten_generation(trial)
    shorten_training(trial)
    made_up_web(trial)


def go_offline() -> None:
    """Whatever still asks the hub is told at once that there is none, rather than trying for a minute."""
    import huggingface_hub.constants

    huggingface_hub.constants.HF_HUB_OFFLINE = True
