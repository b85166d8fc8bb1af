"""A data set for a trial of a training script: a few small clips or pictures, in the columns that the script reads."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

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


def make_small_dataset(folder: Path, columns: tuple[str, ...], rows: int) -> None:
    """Writes ``metadata.csv`` with `rows` rows: a file in each of `columns`, a prompt, and a seed.

    A column whose name speaks of a video holds clips, any other one pictures.
    """
    from diffsynth.utils.data import save_video

    folder.mkdir(parents=True, exist_ok=True)
    written: list[dict[str, Any]] = []
    for row in range(rows):
        files: dict[str, str] = {}
        for column in columns:
            frames = [picture_of(row, HEIGHT, WIDTH, moment / (FRAMES - 1)) for moment in range(FRAMES)]
            if "video" in column:
                files[column] = f"{column}_{row}.mp4"
                save_video(frames, folder / files[column], fps=15, quality=9)
            else:
                files[column] = f"{column}_{row}.png"
                frames[0].save(folder / files[column])
        written.append({**files, "prompt": f"shape number {row}", "seed": row, **_NUMBERS})
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(written[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(written)
