"""Files that several Wan models share as .pth, and the one place that has them as .safetensors."""

from __future__ import annotations

from dataclasses import replace

from diffsynth.core.loader import environment
from diffsynth.core.loader.download import is_local
from diffsynth.core.loader.model_config import ModelConfig

CONVERTED_MODEL = "DiffSynth-Studio/Wan-Series-Converted-Safetensors"
CONVERTED_FILES = {
    f"{stem}.pth": f"{stem}.safetensors"
    for stem in (
        "models_t5_umt5-xxl-enc-bf16",
        "Wan2.1_VAE",
        "Wan2.2_VAE",
        "models_clip_open-clip-xlm-roberta-large-vit-huge-14",
    )
}


def redirect_common_file(config: ModelConfig) -> ModelConfig:
    """The config to load instead: the converted file, where it is to be had and the original is not here already.

    The tensors are the same, and one download serves several models. The given config is not changed.
    """
    patterns = config.patterns()
    if config.path is not None or config.model_id is None or len(patterns) != 1 or patterns[0] not in CONVERTED_FILES:
        return config
    converted = replace(config, model_id=CONVERTED_MODEL, origin_file_pattern=CONVERTED_FILES[patterns[0]])
    if is_local(config.model_id, patterns, config.root()):
        return config
    if environment.skip_download(config.skip_download) and not is_local(
        CONVERTED_MODEL, converted.patterns(), converted.root()
    ):
        return config  # so that the message for a missing file names the one the caller knows
    return converted
