"""A small data set of pictures and of edits of them, for the Qwen-Image family."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from script_trial.adapters.diffsynth_port.moving_shapes import look_of, picture_of

LEFT, MIDDLE, RIGHT = 0.0, 0.5, 1.0


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


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
