"""Which networks a published file holds: from a ModelConfig's id and pattern to entries of DiffSynth-Studio's table.

DiffSynth-Studio knows a file by a hash of its keys and shapes, which no made-up file can have. What a file is called is
only in comments above the entries of its table, ``# Example: ModelConfig(model_id=..., origin_file_pattern=...)``; some
of them are wrong, and many models whose networks are shared have none. The tables here put that right.
"""

from __future__ import annotations

import fnmatch
import functools
import inspect
import re
from typing import Any

from script_trial.adapters.studio.library import studio

Entry = dict[str, Any]
Name = tuple[str, str]  # of a file: the model's id, and the pattern inside its folder

# Examples that are not what the entry is for, by the entry's hash.
CORRECTED: dict[str, tuple[Name, ...]] = {
    # The first two of Qwen-Image have each other's.
    "0319a1cb19835fb510907dd3367c95ff": (("Qwen/Qwen-Image", "transformer/diffusion_pytorch_model*.safetensors"),),
    "8004730443f55db63092006dd9f7110e": (("Qwen/Qwen-Image", "text_encoder/model*.safetensors"),),
    # The folder is given twice.
    "1aafa3cc91716fb6b300cc1cd51b85a3": (("Tongyi-MAI/Z-Image-Turbo", "vae/diffusion_pytorch_model.safetensors"),),
    # The text encoder has the name of the VAE.
    "a9995952c2d8e63cf82e115005eb61b9": (
        ("circlestone-labs/Anima", "split_files/text_encoders/qwen_3_06b_base.safetensors"),
    ),
    # The upsampler has the name of the whole model.
    "c79c458c6e99e0e14d47e676761732d2": (("Lightricks/LTX-2", "ltx-2-spatial-upscaler-x2-1.0.safetensors"),),
}

# Files that no example names, and one that holds the same networks.
SAME_AS: dict[Name, Name] = {
    ("black-forest-labs/FLUX.1-Kontext-dev", "flux1-kontext-dev.safetensors"): (
        "black-forest-labs/FLUX.1-dev",
        "flux1-dev.safetensors",
    ),
    ("black-forest-labs/FLUX.1-Krea-dev", "flux1-krea-dev.safetensors"): (
        "black-forest-labs/FLUX.1-dev",
        "flux1-dev.safetensors",
    ),
    ("black-forest-labs/FLUX.2-klein-4B", "text_encoder/*.safetensors"): (
        "Tongyi-MAI/Z-Image-Turbo",
        "text_encoder/*.safetensors",
    ),
    ("circlestone-labs/Anima", "split_files/vae/qwen_image_vae.safetensors"): (
        "Wan-AI/Wan2.1-T2V-14B",
        "Wan2.1_VAE.pth",
    ),
}

# Models whose files are called and built as those of another are, where they have no example of their own.
LIKE: dict[str, str] = {
    "Wan-AI/Wan2.1-I2V-14B-480P": "PAI/Wan2.1-Fun-14B-InP",
    "Wan-AI/Wan2.1-I2V-14B-720P": "PAI/Wan2.1-Fun-14B-InP",
    "Wan-AI/Wan2.1-VACE-1.3B": "iic/VACE-Wan2.1-1.3B-Preview",
    "Wan-AI/Wan2.2-T2V-A14B": "Wan-AI/Wan2.1-T2V-14B",
    "PAI/Wan2.2-VACE-Fun-A14B": "Wan-AI/Wan2.1-VACE-14B",
    "PAI/Wan2.2-Fun-A14B-InP": "Wan-AI/Wan2.2-I2V-A14B",
    "PAI/Wan2.1-Fun-V1.1-1.3B-InP": "PAI/Wan2.1-Fun-1.3B-InP",
    "PAI/Wan2.1-Fun-V1.1-14B-InP": "PAI/Wan2.1-Fun-14B-InP",
    "Qwen/Qwen-Image-Edit": "Qwen/Qwen-Image",
    "Qwen/Qwen-Image-Edit-2509": "Qwen/Qwen-Image",
    "Qwen/Qwen-Image-Edit-2511": "Qwen/Qwen-Image",
    "Qwen/Qwen-Image-2512": "Qwen/Qwen-Image",
    "Tongyi-MAI/Z-Image": "Tongyi-MAI/Z-Image-Turbo",
    "Tongyi-MAI/Z-Image-Omni-Base": "Tongyi-MAI/Z-Image-Turbo",
    "black-forest-labs/FLUX.1-Kontext-dev": "black-forest-labs/FLUX.1-dev",
    "black-forest-labs/FLUX.1-Krea-dev": "black-forest-labs/FLUX.1-dev",
    "black-forest-labs/FLUX.2-klein-4B": "black-forest-labs/FLUX.2-dev",
    "black-forest-labs/FLUX.2-klein-9B": "black-forest-labs/FLUX.2-dev",
    "black-forest-labs/FLUX.2-klein-base-4B": "black-forest-labs/FLUX.2-klein-4B",
    "black-forest-labs/FLUX.2-klein-base-9B": "black-forest-labs/FLUX.2-klein-9B",
    "PaddlePaddle/ERNIE-Image": "black-forest-labs/FLUX.2-dev",
    "PaddlePaddle/ERNIE-Image-Turbo": "PaddlePaddle/ERNIE-Image",
}

# Files of the whole Wan family, wherever they lie; the suffix is another in the folder of converted files.
SHARED: dict[str, Name] = {
    "models_t5_umt5-xxl-enc-bf16": ("Wan-AI/Wan2.1-T2V-14B", "models_t5_umt5-xxl-enc-bf16.pth"),
    "Wan2.1_VAE": ("Wan-AI/Wan2.1-T2V-14B", "Wan2.1_VAE.pth"),
    "Wan2.2_VAE": ("Wan-AI/Wan2.2-TI2V-5B", "Wan2.2_VAE.pth"),
    "models_clip_open-clip-xlm-roberta-large-vit-huge-14": (
        "Wan-AI/Wan2.1-I2V-14B-480P",
        "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth",
    ),
}

_EXPERTS = re.compile(r"^(high|low)_noise_model/")  # each of Wan2.2's two has a folder, and they are built alike
_EXAMPLE = re.compile(r"""ModelConfig\(model_id="([^"]*)", origin_file_pattern="([^"]*)"\)""")
_HASH = re.compile(r'"model_hash": "(\w+)"')


def entries_of(model_id: str, pattern: str) -> list[Entry]:
    """The entries for the networks in a file; none where the file is not known.

    `pattern` is a ModelConfig's ``origin_file_pattern``, or a file's name inside the model's folder.
    """
    name = SAME_AS.get((model_id, pattern)) or SHARED.get(_stem(pattern)) or (model_id, pattern)
    seen: set[str] = set()
    while name[0] not in seen:
        seen.add(name[0])
        hashes = [one for one, names in _names_by_hash().items() if any(_agree(name, other) for other in names)]
        found = [entry for entry in _table() if entry["model_hash"] in hashes[:1]]
        if found or name[0] not in LIKE:
            return found
        name = (LIKE[name[0]], name[1])
        name = SAME_AS.get(name, name)
    return []


def name_in(path: str) -> Name | None:
    """The model and the file that a path ends with, as in ``models/Org/Model/vae/file.safetensors``, if it is known."""
    parts = path.replace("\\", "/").split("/")
    for start in reversed(range(len(parts) - 2)):
        name = ("/".join(parts[start : start + 2]), "/".join(parts[start + 2 :]))
        if entries_of(*name):
            return name
    return None


def _agree(one: Name, other: Name) -> bool:
    """Whether two names are of the same file, either of which may be a glob."""
    if one[0] != other[0]:
        return False
    patterns = [_EXPERTS.sub("", pattern) for pattern in (one[1], other[1])]
    files = [pattern.replace("*", "-00001-of-00002") for pattern in patterns]
    return (
        patterns[0] == patterns[1]
        or fnmatch.fnmatchcase(files[0], patterns[1])
        or fnmatch.fnmatchcase(files[1], patterns[0])
    )


def _stem(pattern: str) -> str:
    return pattern.rpartition("/")[2].rpartition(".")[0]


def _table() -> list[Entry]:
    table: list[Entry] = studio("configs").MODEL_CONFIGS
    return table


@functools.cache
def _names_by_hash() -> dict[str, tuple[Name, ...]]:
    """The names in the comments before each entry's hash, put right."""
    names: dict[str, tuple[Name, ...]] = {}
    pending: list[Name] = []
    for line in inspect.getsource(studio("configs.model_configs")).splitlines():
        if line.lstrip().startswith("#"):
            pending += [(model_id, pattern) for model_id, pattern in _EXAMPLE.findall(line)]
        elif found := _HASH.search(line):
            names[found[1]] = names.get(found[1], ()) + tuple(pending)
            pending = []
    return {**names, **CORRECTED}
