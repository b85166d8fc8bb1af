"""The same training on less work: what the arguments of a launched script are cut down to for a trial.

    --height 480 --width 832 --dataset_repeat 100 --num_epochs 5 --output_path /data/out
    --height 32 --width 48 --dataset_repeat 1 --num_epochs 2 --output_path FOLDER/outside/data/out

What the script does not say is left to it: the made-up data set is so small that nothing else needs to be cut.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from script_trial.adapters.diffsynth_port.image_dataset import METADATA, file_columns_of
from script_trial.adapters.diffsynth_port.smaller import FRAMES, HEIGHT, STEPS, WIDTH

CLIPS = 2  # at most: one for each process, and as many as make a batch

#: In their place, whatever the script says.
_SET = {
    "height": HEIGHT,
    "width": WIDTH,
    "max_pixels": HEIGHT * WIDTH,
    "num_frames": FRAMES,
    "dataset_repeat": 1,
    "validation_inference_steps": STEPS,
}
#: At most this; a script that says less keeps what it says.
_AT_MOST = {
    "num_epochs": 2,
    "batch_size": 2,
    "gradient_accumulation_steps": 2,
    "save_steps": 2,
    "validation_steps": 2,
    "dataset_num_workers": 1,
}
_WRITTEN = ("output_path",)

#: Published files that a training starts from.
_READ = ("lora_checkpoint", "preset_lora_path")

MakeDataset = Callable[[tuple[str, ...], int], Path]
FindFile = Callable[[str], str]


def is_of_training(arguments: Sequence[str]) -> bool:
    """Whether these are arguments of a training script of the pipelines, and no other program's."""
    return not {"dataset_base_path", "output_path"}.isdisjoint(given_in(arguments))


def given_in(arguments: Sequence[str]) -> dict[str, str]:
    """Each option with its value; a switch has an empty one."""
    return dict(_pairs(arguments))


def smaller_arguments(
    arguments: Sequence[str], folder: Path, make_dataset: MakeDataset, find_file: FindFile = str
) -> list[str]:
    """The arguments for a trial.

    Args:
        arguments: those of the launched script, ``--name value`` or ``--name=value``.
        folder: what would be written elsewhere goes below it.
        make_dataset: gives the folder of a small data set whose metadata has these columns with files, and so many
            rows.
        find_file: gives the path of a published file that stands for the one at a path.
    """
    given = given_in(arguments)
    changed = {name: str(value) for name, value in _SET.items() if name in given}
    if "width" in given:
        changed["width"] = str(width_of(given.get("model_id_with_origin_paths", "")))
    for name, most in _AT_MOST.items():
        if name in given and given[name].isdecimal():
            changed[name] = str(min(int(given[name]), most))
    changed |= {name: inside(given[name], folder) for name in _WRITTEN if name in given}
    changed |= {name: find_file(given[name]) for name in _READ if name in given}
    if given.get("task", "").endswith(":train"):  # on what the task before it has written
        changed["dataset_base_path"] = inside(given.get("dataset_base_path", ""), folder)
    elif "dataset_base_path" in given:
        dataset = make_dataset(file_columns(given), _rows({**given, **changed}))
        changed["dataset_base_path"] = str(dataset)
        if "dataset_metadata_path" in given:
            changed["dataset_metadata_path"] = str(_metadata(dataset, given))
    return _replaced(arguments, changed)


def width_of(models: str) -> int:
    """Pixels of a frame of a training on these models: the usual, or the next that all of them take."""
    entries = (
        entry for family in _families() for name, own in family.models.items() if f"{name}:" in models for entry in own
    )
    multiple = max((entry.network.multiple for entry in entries if hasattr(entry, "network")), default=1)
    return -(-WIDTH // multiple) * multiple


def _families() -> tuple[Any, ...]:
    """The records of model families; none for DiffSynth-Studio's scripts, which take the same flags."""
    try:
        from diffsynth.families import FAMILIES
    except ModuleNotFoundError:
        return ()
    return tuple(FAMILIES)


def inside(path: str, folder: Path) -> str:
    """The path itself if it leads below a folder from the current one, else a place of its own there."""
    full = os.path.abspath(path)
    if os.path.commonpath([full, folder]) == str(folder):
        return path
    return str(folder / "outside" / full.lstrip(os.sep))


def file_columns(given: dict[str, str]) -> tuple[str, ...]:
    """The columns of the metadata that hold files: those the script names, else a picture or a video as its model."""
    named = tuple(key.strip() for key in given.get("data_file_keys", "").split(",") if key.strip())
    if named:
        return named
    models = given.get("model_id_with_origin_paths", "")
    made = (family.makes for family in _families() if any(f"{model_id}:" in models for model_id in family.models))
    return (next(made, "video"),)


def _rows(given: dict[str, str]) -> int:
    """As many as make an update in each process of this launch; there are two epochs."""
    together = [
        int(given[name]) for name in ("batch_size", "gradient_accumulation_steps") if given.get(name, "").isdecimal()
    ]
    return min(CLIPS, max(int(os.environ.get("WORLD_SIZE", "1")), math.prod(together)))


def _metadata(dataset: Path, given: dict[str, str]) -> Path:
    """The metadata file of a made-up data set: the one that the script names, if it has one called so, else one with
    the columns that the script reads."""
    columns = set(file_columns(given))
    fitting = [name for name in METADATA if file_columns_of(name) == columns]
    named = os.path.basename(given["dataset_metadata_path"])
    there = (dataset / name for name in [named, *fitting[::-1]] if (dataset / name).is_file())
    return next(there, dataset / "metadata.csv")


def _pairs(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Each option with its value; a switch has an empty one."""
    found = []
    for index, word in enumerate(arguments):
        if word.startswith("--"):
            name, has_value, value = word[2:].partition("=")
            following = arguments[index + 1] if index + 1 < len(arguments) else "--"
            found.append((name, value if has_value else "" if following.startswith("--") else following))
    return found


def _replaced(arguments: Sequence[str], changed: dict[str, str]) -> list[str]:
    """The arguments with other values, in the same order and form."""
    replaced: list[str] = []
    pending: str | None = None
    for word in arguments:
        if pending is not None:
            replaced.append(pending)
            pending = None
            continue
        name, has_value, _ = word[2:].partition("=") if word.startswith("--") else ("", "", "")
        if name in changed and has_value:
            replaced.append(f"--{name}={changed[name]}")
            continue
        replaced.append(word)
        pending = changed.get(name)
    return replaced
