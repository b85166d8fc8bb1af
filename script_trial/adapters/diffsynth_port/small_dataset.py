"""A data set for a trial of a training script: a few small clips or pictures, in the columns that the script reads."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from PIL import Image

from script_trial.adapters.diffsynth_port.moving_shapes import picture_of
from script_trial.adapters.diffsynth_port.smaller import FRAMES, HEIGHT, WIDTH

#: What task direct_distill reads besides, and how a camera moves.
_NUMBERS = {
    "num_inference_steps": 2,
    "cfg_scale": 1.0,
    "rand_device": "cpu",
    "camera_control_direction": "Left",
    "camera_control_speed": 0.02,
}

#: Frames a second.
_RATE = 15


def make_small_dataset(folder: Path, columns: tuple[str, ...], rows: int, *, clips: str = ".mp4") -> None:
    """Writes ``metadata.csv`` with `rows` rows: a file in each of `columns`, a prompt, and a seed.

    A column whose name speaks of a video holds clips, any other one pictures. Each process that reads a clip of any
    other kind than ``.gif`` starts ffmpeg for it, which takes longer than the small training that comes of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[dict[str, Any]] = []
    for row in range(rows):
        files: dict[str, str] = {}
        for column in columns:
            frames = [picture_of(row, HEIGHT, WIDTH, moment / (FRAMES - 1)) for moment in range(FRAMES)]
            if "video" in column:
                files[column] = f"{column}_{row}{clips}"
                _save_clip(frames, folder / files[column])
            else:
                files[column] = f"{column}_{row}.png"
                frames[0].save(folder / files[column])
        written.append({**files, "prompt": f"shape number {row}", "seed": row, **_NUMBERS})
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(written[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(written)


def _save_clip(frames: list[Image.Image], path: Path) -> None:
    if path.suffix == ".gif":
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=1000 // _RATE)
        return
    from diffsynth.utils.data import save_video

    save_video(frames, path, fps=_RATE, quality=9)
