"""A small data set of clips of moving shapes, and of what models take besides, for the Wan family."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from PIL import ImageFilter

from diffsynth.utils.data import save_video
from script_trial.adapters.diffsynth_port.moving_shapes import look_of, picture_of

# By file, its columns and what of a clip stands in them. The last file says that all is there.
_CLIP = {"video": "video", "prompt": "prompt", "seed": "seed"}
METADATA = {
    "metadata_control.csv": {**_CLIP, "control_video": "outlines"},
    "metadata_reference_control.csv": {**_CLIP, "control_video": "outlines", "reference_image": "shape"},
    "metadata_vace.csv": {**_CLIP, "vace_video": "outlines", "vace_reference_image": "shape"},
    "metadata_camera_control.csv": {
        **_CLIP,
        "camera_control_direction": "direction",
        "camera_control_speed": "speed",
    },
    "metadata.csv": _CLIP,
}


def make_dataset(folder: Path, *, clips: int, frames: int, height: int, width: int) -> None:
    """Writes ``clip_0.mp4``, its outlines and its shape, and so on, and the metadata files of `METADATA`."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for clip in range(clips):
        shape, colour, background = look_of(clip)
        pictures = [picture_of(clip, height, width, moment / max(frames - 1, 1)) for moment in range(frames)]
        names = {"video": f"clip_{clip}.mp4", "outlines": f"outlines_{clip}.mp4", "shape": f"shape_{clip}.png"}
        save_video(pictures, folder / names["video"], fps=15, quality=9)
        outlines = [picture.convert("L").filter(ImageFilter.FIND_EDGES).convert("RGB") for picture in pictures]
        save_video(outlines, folder / names["outlines"], fps=15, quality=9)
        pictures[len(pictures) // 2].save(folder / names["shape"])
        prompt = f"A {colour} {shape} moves from left to right over a {background} background."
        rows.append({**names, "prompt": prompt, "seed": clip, "direction": "Left", "speed": 0.01})
    for name, columns in METADATA.items():
        _write_csv(folder / name, [{column: row[source] for column, source in columns.items()} for row in rows])


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
