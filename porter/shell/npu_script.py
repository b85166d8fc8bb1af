"""Where the NPU form of a launch script goes when the script itself is left as it is.

    model_training/full/Wan2.2-T2V-A14B.sh -> model_training/special/npu_training/Wan2.2-T2V-A14B-NPU.sh
    model_training/lora/Wan2.2-T2V-A14B.sh -> model_training/special/npu_training/Wan2.2-T2V-A14B-lora-NPU.sh

Scripts of one name lie in several folders, so each folder but `full` adds its own name. Elsewhere than below a
`model_training`, the folder of the script takes its place.
"""

from __future__ import annotations

import os

_TRAINING = "model_training"
_FOLDER = os.path.join("special", "npu_training")
_ENDING = "-NPU"


def npu_script_of(path: str) -> str:
    """The path of the NPU form of a script."""
    folder, name = os.path.split(path)
    stem, ending = os.path.splitext(name)
    top, variants = _above(folder)
    parts = [stem, *(part for part in variants if part not in ("full", "special"))]
    return os.path.join(top, _FOLDER, "-".join(parts) + _ENDING + (ending or ".sh"))


def place_of_form(path: str) -> str:
    """Where the NPU form of a script lies: the one that is there, be it `X-LoRA-NPU.sh`, or where it would go."""
    form = npu_script_of(path)
    folder, name = os.path.split(form)
    if os.path.exists(form) or not os.path.isdir(folder or "."):
        return form
    there = (one for one in sorted(os.listdir(folder or ".")) if one.casefold() == name.casefold())
    return os.path.join(folder, next(there, name))


def is_npu_script(path: str) -> bool:
    """Whether a file is such a form: it lies where they go, or is called as they are."""
    folder, name = os.path.split(os.path.abspath(path))
    return folder.endswith(os.sep + _FOLDER) or os.path.splitext(name)[0].endswith(_ENDING)


def _above(folder: str) -> tuple[str, list[str]]:
    """The nearest folder called model_training, and the folders on the way down from it."""
    variants: list[str] = []
    above = folder
    while os.path.basename(above) and os.path.basename(above) != _TRAINING:
        variants.insert(0, os.path.basename(above))
        above = os.path.dirname(above)
    return (above, variants) if os.path.basename(above) == _TRAINING else (folder, [])
