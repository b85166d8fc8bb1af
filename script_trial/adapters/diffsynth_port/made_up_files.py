"""What the pipelines and their training read besides models, made up: clips and data sets."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from script_trial.adapter import TrialOfAdapter
from script_trial.adapters.diffsynth_port.image_dataset import IMAGE_COLUMNS, make_image_dataset
from script_trial.adapters.diffsynth_port.made_up_models import OWN
from script_trial.adapters.diffsynth_port.small_dataset import make_small_dataset
from script_trial.adapters.diffsynth_port.smaller import HEIGHT, WIDTH
from script_trial.made_up import pattern

# Small, and more frames than any script asks for: reading stops at those that are used.
CLIP_HEIGHT, CLIP_WIDTH, CLIP_FRAMES = 64, 96, 121
CLIP_RATE = 16


def dataset(trial: TrialOfAdapter, columns: tuple[str, ...], rows: int) -> Path:
    """The folder of a small data set whose metadata has these columns with files."""
    if set(columns) <= IMAGE_COLUMNS:
        make = functools.partial(make_image_dataset, pictures=rows, height=HEIGHT, width=WIDTH)
        return trial.once(f"{OWN}/data/{rows}/pictures", make)
    place = f"{OWN}/data/{rows}/{'-'.join(columns)}"
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
    shutil.copyfile(trial.once(f"{OWN}/clip{path.suffix}", write_clip), path)


def write_clip(path: Path) -> None:
    """A clip of slowly moving colours, as a file of the kind its name says."""
    from diffsynth.utils.data.saving import save_video

    frames = [pattern(CLIP_HEIGHT, CLIP_WIDTH, frame / CLIP_FRAMES) for frame in range(CLIP_FRAMES)]
    save_video(frames, path, fps=CLIP_RATE)
