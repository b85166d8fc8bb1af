"""Which files a published model consists of, as the records of the families have it."""

from __future__ import annotations

from diffsynth.families import FAMILIES
from diffsynth.families.family import ModelFile, TokenizerFolder, WeightFile


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


def shard_names(file: WeightFile) -> list[str]:
    """The names of a checkpoint's files with tensors, in the published numbering."""
    if file.shards == 1:
        return [file.name]
    stem, dot, suffix = file.name.rpartition(".")
    return [f"{stem}-{number:05d}-of-{file.shards:05d}{dot}{suffix}" for number in range(1, file.shards + 1)]


def index_name(file: WeightFile) -> str:
    """The file that says which shard holds which key."""
    return f"{file.name}.index.json"


def file_names(entry: ModelFile) -> list[str]:
    """All files of an entry: a checkpoint in shards has an index beside them; a folder is named with a slash."""
    if isinstance(entry, TokenizerFolder):
        return [f"{entry.name}/"]
    if not isinstance(entry, WeightFile) or entry.shards == 1:
        return [entry.name]
    return [*shard_names(entry), index_name(entry)]
