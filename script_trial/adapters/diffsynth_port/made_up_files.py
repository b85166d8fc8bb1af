"""What the pipelines and their training read, made up: weights of their models, clips, data sets."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from diffsynth.families.family import Sizes, WeightFile
from script_trial.adapter import CannotMakeUp, TrialOfAdapter
from script_trial.adapters.diffsynth_port.catalogue import MODELS
from script_trial.adapters.diffsynth_port.image_dataset import IMAGE_COLUMNS, make_image_dataset
from script_trial.adapters.diffsynth_port.small_dataset import make_small_dataset
from script_trial.adapters.diffsynth_port.smaller import HEIGHT, WIDTH
from script_trial.adapters.diffsynth_port.weights import make_weights
from script_trial.made_up import pattern

# Small, and more frames than any script asks for: reading stops at those that are used.
CLIP_HEIGHT, CLIP_WIDTH, CLIP_FRAMES = 64, 96, 121
CLIP_RATE = 16

#: A second block of a text encoder or of a VAE's level computes nothing that its first does not. Of a DiT's two, one
#: can be on the device while the other is not.
SIZES = Sizes(text_layers=1, vae_width=4, vae_blocks=1)

#: The folder for all of it, below that for everything that is made up.
_OWN = "diffsynth-port"


def with_weights(download: Callable[..., Any], trial: TrialOfAdapter) -> Callable[..., Any]:
    """`ModelConfig.download_if_necessary`, with the model's files written first where they are missing."""

    @functools.wraps(download)
    def made(config: Any, *args: Any, **kwargs: Any) -> Any:
        if config.path is None and config.model_id is not None:
            config = replace(config, local_model_path=str(weights_root(config.model_id, trial)))
        elif isinstance(config.path, (str, os.PathLike)) and (model_id := _trained_one(str(config.path))) is not None:
            copy = functools.partial(_copy_weights, weights_root(model_id, trial) / model_id)
            config = replace(config, path=str(trial.found_or_made_up(str(config.path), copy)))
        # There is no network in a trial, and the clients would try for a minute.
        return download(replace(config, skip_download=True), *args, **kwargs)

    return made


def weights_root(model_id: str, trial: TrialOfAdapter) -> Path:
    """The folder below which the files of a model lie, made up.

    Raises:
        CannotMakeUp: no such model is known.
    """
    if model_id not in MODELS:
        raise CannotMakeUp(f"the weights of {model_id}, which cannot be made up; those of {', '.join(MODELS)} can")
    root = trial.made_up / _OWN / "models"
    trial.once(f"{_OWN}/models/{model_id}", lambda _: make_weights(model_id, root, sizes=SIZES))
    return root


def published_file(trial: TrialOfAdapter, path: str) -> str:
    """The file at a path such as models/DiffSynth-Studio/Qwen-Image-EliGen/model.safetensors, made up where it is
    missing; the path itself where no such model is known."""
    for file in (Path(path), trial.started_in / path):
        if file.exists():
            return str(file)
    model_id = next((model_id for model_id in MODELS if f"/{model_id}/" in f"/{path}"), None)
    if model_id is None:
        return path
    return str(weights_root(model_id, trial) / model_id / f"/{path}".partition(f"/{model_id}/")[2])


def _trained_one(path: str) -> str | None:
    """The model of one file that a training has written to a path, which is called after it: of
    models/train/Qwen-Image-Blockwise-ControlNet-Canny_full/epoch-1.safetensors the ControlNet. None: of none."""
    one_file = [model_id for model_id, entries in MODELS.items() if [type(entry) for entry in entries] == [WeightFile]]
    fitting = [model_id for model_id in one_file if f"/{model_id.rpartition('/')[2]}_" in f"/{path}"]
    return max(fitting, key=len, default=None)


def _copy_weights(folder: Path, path: Path) -> None:
    """The one checkpoint of a model's folder."""
    (file,) = folder.glob("*.safetensors")
    shutil.copyfile(file, path)


def dataset(trial: TrialOfAdapter, columns: tuple[str, ...], rows: int) -> Path:
    """The folder of a small data set whose metadata has these columns with files."""
    if set(columns) <= IMAGE_COLUMNS:
        make = functools.partial(make_image_dataset, pictures=rows, height=HEIGHT, width=WIDTH)
        return trial.once(f"{_OWN}/data/{rows}/pictures", make)
    place = f"{_OWN}/data/{rows}/{'-'.join(columns)}"
    return trial.once(place, lambda folder: make_small_dataset(folder, columns, rows, clips=".gif"))


def with_clip(init: Callable[..., None], trial: TrialOfAdapter) -> Callable[..., None]:
    """`VideoData.__init__`, with a clip made up where its file is missing."""

    @functools.wraps(init)
    def made(self: object, video_file: Any = None, *args: Any, **kwargs: Any) -> None:
        if video_file is not None:
            video_file = trial.found_or_made_up(video_file, functools.partial(_copy_clip, trial))
        init(self, video_file, *args, **kwargs)

    return made


def _copy_clip(trial: TrialOfAdapter, path: Path) -> None:
    """A clip that is written once for all processes, and is a file of each one's own."""
    shutil.copyfile(trial.once(f"{_OWN}/clip{path.suffix}", write_clip), path)


def write_clip(path: Path) -> None:
    """A clip of slowly moving colours, as a file of the kind its name says."""
    from diffsynth.utils.data.saving import save_video

    frames = [pattern(CLIP_HEIGHT, CLIP_WIDTH, frame / CLIP_FRAMES) for frame in range(CLIP_FRAMES)]
    save_video(frames, path, fps=CLIP_RATE)
