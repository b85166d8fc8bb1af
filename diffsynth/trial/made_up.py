"""What a script reads and does not have here, made up: the weights of its models, its input clip, its input picture."""

from __future__ import annotations

import fcntl
import functools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# Small, and more frames than any script asks for: reading stops at those that are used.
CLIP_HEIGHT, CLIP_WIDTH, CLIP_FRAMES = 64, 96, 121
CLIP_RATE = 16

# As it is before a trial listens to what scripts save.
_save_picture = Image.Image.save


class CannotMakeUp(Exception):
    """The script needs something that is neither here nor known how to make up; the message names it."""


def with_weights(download: Callable[..., Any]) -> Callable[..., Any]:
    """`ModelConfig.download_if_necessary`, with the model's files written first where they are missing."""

    @functools.wraps(download)
    def made(config: Any, *args: Any, **kwargs: Any) -> Any:
        if config.path is None and config.model_id is not None:
            write_weights_once(config.model_id, Path(config.root()))
        # There is no network in a trial, and the clients would try for a minute.
        return download(replace(config, skip_download=True), *args, **kwargs)

    return made


def write_weights_once(model_id: str, root: Path) -> None:
    """The files of a model below ``root/model_id``. Several processes may ask for the same at once.

    Raises:
        CannotMakeUp: no such model is known.
    """
    from diffsynth.trial.catalogue import MODELS
    from diffsynth.trial.weights import make_weights

    if model_id not in MODELS:
        raise CannotMakeUp(f"the weights of {model_id}, which cannot be made up; those of {', '.join(MODELS)} can")
    _once(root, model_id, lambda: make_weights(model_id, root))


def dataset_once(columns: tuple[str, ...], root: Path) -> Path:
    """The folder of a small data set whose metadata has these columns with files. As for weights."""
    from diffsynth.trial.image_dataset import make_image_dataset
    from diffsynth.trial.small_dataset import make_small_dataset
    from diffsynth.trial.smaller import HEIGHT, WIDTH
    from diffsynth.trial.smaller_training import CLIPS

    if set(columns) <= {"image", "edit_image"}:
        folder = root / "pictures"
        _once(root, "pictures", lambda: make_image_dataset(folder, pictures=CLIPS, height=HEIGHT, width=WIDTH))
    else:
        folder = root / "-".join(columns)
        _once(root, folder.name, lambda: make_small_dataset(folder, columns, CLIPS))
    return folder


def _once(root: Path, name: str, write: Callable[[], object]) -> None:
    """Has something written below a folder, unless that was done before."""
    root.mkdir(parents=True, exist_ok=True)
    done = root / f"{name.replace('/', '--')}.done"
    with open(root / "made_up.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            write()
            done.touch()


def with_clip(init: Callable[..., None], started_in: Path) -> Callable[..., None]:
    """`VideoData.__init__`, with a clip made up where its file is missing."""

    @functools.wraps(init)
    def made(self: object, video_file: Any = None, *args: Any, **kwargs: Any) -> None:
        if video_file is not None:
            video_file = _found(video_file, started_in, write_clip)
        init(self, video_file, *args, **kwargs)

    return made


def with_picture(open_picture: Callable[..., Any], started_in: Path) -> Callable[..., Any]:
    """`PIL.Image.open`, with a picture made up where its file is missing."""

    @functools.wraps(open_picture)
    def made(fp: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(fp, (str, os.PathLike)):
            fp = _found(fp, started_in, write_picture)
        return open_picture(fp, *args, **kwargs)

    return made


def _found(file: str | os.PathLike[str], started_in: Path, write: Callable[[Path], None]) -> Path:
    """The file as the script finds it, else as the user has it, else a made-up one in the working folder."""
    for path in (Path(file), started_in / file):
        if path.exists():
            return path
    made = Path("made_up", *Path(file).parts[-3:])
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        write(made)
    return made


def write_clip(path: Path) -> None:
    """A clip of slowly moving colours, as a file of the kind its name says."""
    from diffsynth.utils.data.saving import save_video

    frames = [_picture(CLIP_HEIGHT, CLIP_WIDTH, frame / CLIP_FRAMES) for frame in range(CLIP_FRAMES)]
    save_video(frames, path, fps=CLIP_RATE)


def write_picture(path: Path) -> None:
    """A still of the same."""
    _save_picture(Image.fromarray(_picture(256, 256, 0.0)), path)


def _picture(height: int, width: int, time: float) -> np.ndarray:
    """One frame, (height, width, 3) bytes; `time` goes from 0 to 1."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [np.sin(2 * np.pi * (angle[0] * x + angle[1] * y + time)) for angle in ((1, 2), (2, -1), (-1, 3))]
    return ((np.stack(waves, axis=-1) + 1) * 127.5).astype(np.uint8)
