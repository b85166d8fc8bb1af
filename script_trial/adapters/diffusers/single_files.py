"""`from_single_file` of a file that is not here: the class's made-up folder is loaded in its place.

A single file holds the weights of a folder under other names; what an NPU sees of it is the same.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
from pathlib import Path
from typing import Any

from script_trial.adapter import TrialOfAdapter
from script_trial.small.hub import Hub

# "https://huggingface.co/OWNER/NAME/blob/main/x.safetensors"
_OF_A_HUB = re.compile(r"https?://[^/]+/([^/]+/[^/]+)/(?:blob|resolve|raw)/")
_LOADED_BY = ("torch_dtype", "quantization_config", "device_map")


def make_up_single_files(trial: TrialOfAdapter, hub: Hub) -> None:
    """Has the single files of pipelines and networks made up where there are none."""
    from diffusers.loaders.single_file import FromSingleFileMixin
    from diffusers.loaders.single_file_model import FromOriginalModelMixin

    owners: tuple[Any, ...] = (FromSingleFileMixin, FromOriginalModelMixin)
    for owner in owners:
        owner.from_single_file = classmethod(_with_folder(vars(owner)["from_single_file"].__func__, trial, hub))


def _with_folder(load: Any, trial: TrialOfAdapter, hub: Hub) -> Any:
    @functools.wraps(load)
    def loaded(cls: Any, file: Any = None, **keywords: Any) -> Any:
        here = next(filter(os.path.exists, (file, trial.started_in / file)), None) if _is_name(file) else file
        if here is not None or not _is_name(file):
            return load(cls, here, **keywords)
        found = _OF_A_HUB.match(os.fspath(file))
        model_id = found[1] if found else Path(file).stem
        components = set(inspect.signature(cls.__init__).parameters)
        kept = {name: value for name, value in keywords.items() if name in _LOADED_BY or name in components}
        trial.note("a single file's weights were made up as the folder that they are converted to")
        return cls.from_pretrained(hub.folder(cls, model_id, kept), **kept)

    return loaded


def _is_name(file: Any) -> bool:
    return isinstance(file, (str, os.PathLike))
