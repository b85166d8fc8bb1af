"""Small data sets for training, made up: clips and pictures of shapes that move, and the metadata that names them."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from script_trial.adapters.diffsynth_port.smaller import FRAMES, HEIGHT, WIDTH

if TYPE_CHECKING:
    from PIL import Image

_SHAPES = ("circle", "square", "triangle", "diamond")
_COLOURS = ("red", "green", "blue", "yellow")
_BACKGROUNDS = ("black", "white", "grey", "navy")
_POLYGONS = {"square": (4, 0), "triangle": (3, 0), "diamond": (4, 45)}  # corners, degrees

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
LEFT, MIDDLE, RIGHT = 0.0, 0.5, 1.0

#: What task direct_distill reads besides, and how a camera moves.
_NUMBERS = {
    "num_inference_steps": 2,
    "cfg_scale": 1.0,
    "rand_device": "cpu",
    "camera_control_direction": "Left",
    "camera_control_speed": 0.02,
}


def look_of(clip: int) -> tuple[str, str, str]:
    """The shape of a clip, its colour and its background: 64 clips are all different."""
    return _SHAPES[clip % 4], _COLOURS[(clip + clip // 4) % 4], _BACKGROUNDS[(clip + clip // 16) % 4]


def picture_of(clip: int, height: int, width: int, moment: float) -> Image.Image:
    """A frame of a clip, `moment` running from 0 at its start to 1 at its end."""
    from PIL import Image, ImageDraw

    shape, colour, background = look_of(clip)
    image = Image.new("RGB", (width, height), background)
    radius = height / 5
    centre = (radius + moment * (width - 2 * radius), height / 2)
    draw = ImageDraw.Draw(image)
    if shape == "circle":
        draw.ellipse([centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius], fill=colour)
    else:
        corners, turn = _POLYGONS[shape]
        draw.regular_polygon((*centre, radius), corners, rotation=turn + 90 * moment, fill=colour)
    return image


def _frames_of(clip: int, height: int, width: int, count: int) -> list[Image.Image]:
    return [picture_of(clip, height, width, moment / max(count - 1, 1)) for moment in range(count)]


def make_dataset(folder: Path, *, clips: int, frames: int, height: int, width: int) -> None:
    """Writes ``clip_0.mp4``, its outlines and its shape, and so on, and the metadata files of `METADATA`."""
    from PIL import ImageFilter

    from diffsynth.utils.data import save_video

    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for clip in range(clips):
        shape, colour, background = look_of(clip)
        pictures = _frames_of(clip, height, width, frames)
        names = {"video": f"clip_{clip}.mp4", "outlines": f"outlines_{clip}.mp4", "shape": f"shape_{clip}.png"}
        save_video(pictures, folder / names["video"], fps=15, quality=9)
        outlines = [picture.convert("L").filter(ImageFilter.FIND_EDGES).convert("RGB") for picture in pictures]
        save_video(outlines, folder / names["outlines"], fps=15, quality=9)
        pictures[len(pictures) // 2].save(folder / names["shape"])
        prompt = f"A {colour} {shape} moves from left to right over a {background} background."
        rows.append({**names, "prompt": prompt, "seed": clip, "direction": "Left", "speed": 0.01})
    for name, columns in METADATA.items():
        _write_csv(folder / name, [{column: row[source] for column, source in columns.items()} for row in rows])


def make_image_dataset(folder: Path, *, pictures: int, height: int, width: int) -> None:
    """Writes pictures, and three metadata files with their prompts.

    ``metadata.csv`` has the columns image, prompt and seed; in ``metadata_edit.csv`` edit_image names the picture that
    the image was edited from, and in ``metadata_edit_multi.json`` it is a list of two.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plain, edits, several = [], [], []
    for number in range(pictures):
        (shape, colour, background), (other_shape, other_colour, _) = look_of(number), look_of(number + 1)
        files = [f"image_{number}.png", f"edit_{number}.png", f"edit_{number}_1.png", f"edit_{number}_2.png"]
        places = [(number, MIDDLE), (number, RIGHT), (number, LEFT), (number + 1, RIGHT)]
        for file, (shown, moment) in zip(files, places, strict=True):
            picture_of(shown, height, width, moment).save(folder / file)
        image, edited, first, second = files
        one, other = f"{colour} {shape}", f"{other_colour} {other_shape}"
        plain.append({"image": image, "prompt": f"A {one} over a {background} background.", "seed": number})
        edits.append({"image": edited, "edit_image": first, "prompt": f"Move the {one} to the right."})
        prompt = f"Put the {one} of Picture 1 where the {other} of Picture 2 is."
        several.append({"image": edited, "edit_image": [first, second], "prompt": prompt})
    # Last, for it says that all is there.
    (folder / "metadata_edit_multi.json").write_text(json.dumps(several, indent=2) + "\n", encoding="utf-8")
    _write_csv(folder / "metadata_edit.csv", edits)
    _write_csv(folder / "metadata.csv", plain)


def make_small_dataset(folder: Path, columns: tuple[str, ...], rows: int) -> None:
    """Writes ``metadata.csv`` with `rows` rows for a trial: a file in each of `columns`, a prompt, and a seed.

    A column whose name speaks of a video holds clips, any other one pictures.
    """
    from diffsynth.utils.data import save_video

    folder.mkdir(parents=True, exist_ok=True)
    written: list[dict[str, Any]] = []
    for row in range(rows):
        files: dict[str, str] = {}
        for column in columns:
            frames = _frames_of(row, HEIGHT, WIDTH, FRAMES)
            if "video" in column:
                files[column] = f"{column}_{row}.mp4"
                save_video(frames, folder / files[column], fps=15, quality=9)
            else:
                files[column] = f"{column}_{row}.png"
                frames[0].save(folder / files[column])
        written.append({**files, "prompt": f"shape number {row}", "seed": row, **_NUMBERS})
    _write_csv(folder / "metadata.csv", written)


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
