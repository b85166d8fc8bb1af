"""Which series of models a launch trains, told from the model ids on its command line."""

from __future__ import annotations

import re
from collections.abc import Iterator

from porter.shell.launch import Launch
from porter.shell.values import UNKNOWN

WAN_14B, QWEN_IMAGE, Z_IMAGE = "Wan 14B", "Qwen-Image", "Z-Image"

#: A model id or path belongs to the series whose pattern it holds.
_SERIES = {
    WAN_14B: re.compile(r"(?<![a-z])wan(?![a-z]).*(?<!\d)14b(?![a-z])", re.IGNORECASE),
    QWEN_IMAGE: re.compile(r"(?<![a-z])qwen[-_]?image(?![a-z])", re.IGNORECASE),
    Z_IMAGE: re.compile(r"(?<![a-z])z[-_]image(?![a-z])", re.IGNORECASE),
}

#: What is next to the model that is trained, and often another family's: text encoders, VAEs, tokenizers.
_BESIDE = re.compile(
    r"(?:^|/)(?:text_encoder|vae|tokenizer|processor|image_encoder|google|models_t5|models_clip|wav2vec)|vae\.",
    re.IGNORECASE,
)


def series_of(launch: Launch) -> set[str]:
    """The series of the models that are trained."""
    return {name for model in _models(launch) for name, pattern in _SERIES.items() if pattern.search(model)}


def cannot_tell(launch: Launch) -> bool:
    """Whether the models depend on what only a run can tell, such as an argument of the script."""
    return not series_of(launch) and any(UNKNOWN in value.partition(":")[0] for value in _ids(launch))


def _ids(launch: Launch) -> Iterator[str]:
    """`--model_id_with_origin_paths ID:PATTERN,ID:PATTERN`."""
    yield from (launch.argument("model_id_with_origin_paths") or "").split(",")


def _models(launch: Launch) -> Iterator[str]:
    """The ids and paths of what is trained."""
    for entry in _ids(launch):
        model, _, pattern = entry.partition(":")
        if not _BESIDE.search(pattern):
            yield model
    for path in re.findall(r"[^\s\[\]\"',]+", launch.argument("model_paths") or ""):
        folder, _, name = path.rpartition("/")
        if not _BESIDE.search(name) and not _BESIDE.search(folder.rpartition("/")[2]):
            yield path
