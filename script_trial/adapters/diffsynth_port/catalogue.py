"""Which files a published model consists of, as the records of the families have it."""

from __future__ import annotations

from diffsynth.families import FAMILIES
from diffsynth.families.family import DTYPES, LoraFile, ModelFile, Network, Sizes, TokenizerFolder, WeightFile

__all__ = [
    "DTYPES",
    "MODELS",
    "REDIRECTED_TO",
    "LoraFile",
    "ModelFile",
    "Network",
    "Sizes",
    "TokenizerFolder",
    "UnknownModelError",
    "WeightFile",
    "entries_of",
]


class UnknownModelError(ValueError):
    """No made-up weights are known for a model id."""


MODELS: dict[str, tuple[ModelFile, ...]] = {
    model_id: entries for family in FAMILIES for model_id, entries in family.models.items()
}

# Where pipelines look for a model's common files unless told `redirect_common_files=False`.
REDIRECTED_TO = {
    model_id: family.converted.model_id
    for family in FAMILIES
    if family.converted is not None
    for model_id, entries in family.models.items()
    if any(entry.name in family.converted.files for entry in entries)
}


def entries_of(model_id: str) -> tuple[ModelFile, ...]:
    """The checkpoints and tokenizers of a model. Raises UnknownModelError, which lists the known ids."""
    if model_id not in MODELS:
        raise UnknownModelError(f"no made-up weights for {model_id!r}; known are {', '.join(MODELS)}")
    return MODELS[model_id]
