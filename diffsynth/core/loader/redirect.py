"""Files that several models share, and the one place that has them in a better form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from diffsynth.core.loader import environment
from diffsynth.core.loader.download import is_local
from diffsynth.core.loader.model_config import ModelConfig


def redirected(config: ModelConfig, model_id: str, files: Mapping[str, str]) -> ModelConfig:
    """The config to load instead: the converted file, where it is to be had and the original is not here already.

    The tensors are the same, and one download serves several models. The given config is not changed.

    Args:
        model_id: the model that has the converted files.
        files: their names by those of the originals.
    """
    patterns = config.patterns()
    if config.path is not None or config.model_id is None or len(patterns) != 1 or patterns[0] not in files:
        return config
    converted = replace(config, model_id=model_id, origin_file_pattern=files[patterns[0]])
    if is_local(config.model_id, patterns, config.root()):
        return config
    if environment.skip_download(config.skip_download) and not is_local(
        model_id, converted.patterns(), converted.root()
    ):
        return config  # so that the message for a missing file names the one the caller knows
    return converted
