"""A small data set of pictures and of what is made from them, or they from it, for the Qwen-Image family."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import ImageFilter

from script_trial.adapters.diffsynth_port.moving_shapes import look_of, picture_of

if TYPE_CHECKING:
    from PIL import Image

LEFT, MIDDLE, RIGHT = 0.0, 0.5, 1.0

# By metadata file, its columns and what of a picture stands in them: a name of `_files` or `_texts`, or a value; a list
# is a list of these. The last file says that all is there.
METADATA: dict[str, dict[str, Any]] = {
    "metadata_edit_multi.json": {"image": "edit", "edit_image": ["left", "other_right"], "prompt": "swap"},
    "metadata_edit.csv": {"image": "edit", "edit_image": "left", "prompt": "move"},
    "metadata_controlnet_canny.csv": {"image": "image", "prompt": "whole", "blockwise_controlnet_image": "outlines"},
    "metadata_controlnet_depth.csv": {"image": "image", "prompt": "whole", "blockwise_controlnet_image": "depths"},
    "metadata_controlnet_inpaint.csv": {
        "image": "image",
        "prompt": "whole",
        "blockwise_controlnet_image": "image",
        "blockwise_controlnet_inpaint_mask": "mask",
    },
    "metadata_context.csv": {"image": "image", "prompt": "followed", "context_image": "outlines"},
    "metadata_eligen.json": {
        "image": "image",
        "prompt": "whole",
        "eligen_entity_prompts": ["shape"],
        "eligen_entity_masks": ["mask"],
    },
    "metadata_layered.json": {
        "image": ["image", "background", "cut_out"],
        "prompt": "whole",
        "layer_num": 2,
        "layer_input_image": "image",
    },
    "metadata_layered_control.json": {
        "image": ["cut_out"],
        "prompt": "shape",
        "layer_num": 0,
        "layer_input_image": "image",
        "context_image": "mask",
    },
    "metadata.csv": {"image": "image", "prompt": "whole", "seed": "seed"},
}
_NO_FILES = {"prompt", "seed", "eligen_entity_prompts", "layer_num"}


def file_columns_of(metadata: str) -> set[str]:
    """The columns of a metadata file that name pictures."""
    return set(METADATA[metadata]) - _NO_FILES


IMAGE_COLUMNS = {column for metadata in METADATA for column in file_columns_of(metadata)}


def make_image_dataset(folder: Path, *, pictures: int, height: int, width: int) -> None:
    """Writes pictures of shapes, and the metadata files of `METADATA` with their prompts.

    Of each there are an edit of it and what that was made from, its outlines, depths and mask, and its layers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for number in range(pictures):
        made = _pictures(number, height, width)
        names = {"edit": "edit_{}", "left": "edit_{}_1", "other_right": "edit_{}_2"}
        files = {what: f"{names.get(what, what + '_{}').format(number)}.png" for what in made}
        for what, picture in made.items():
            picture.save(folder / files[what])
        rows.append({**files, **_texts(number)})
    for name, columns in METADATA.items():
        _write(folder / name, [{column: _filled(what, row) for column, what in columns.items()} for row in rows])


def _pictures(number: int, height: int, width: int) -> dict[str, Image.Image]:
    """By what each is."""
    image = picture_of(number, height, width, MIDDLE)
    mask = picture_of(number, height, width, MIDDLE, ("white", "black"))
    background = look_of(number)[2]
    cut_out = image.convert("RGBA")
    cut_out.putalpha(mask.convert("L"))
    return {
        "image": image,
        "edit": picture_of(number, height, width, RIGHT),
        "left": picture_of(number, height, width, LEFT),
        "other_right": picture_of(number + 1, height, width, RIGHT),
        "outlines": image.convert("L").filter(ImageFilter.FIND_EDGES).convert("RGB"),
        "depths": mask.filter(ImageFilter.GaussianBlur(max(height // 16, 1))),
        "mask": mask,
        "background": picture_of(number, height, width, MIDDLE, (background, background)).convert("RGBA"),
        "cut_out": cut_out,
    }


def _texts(number: int) -> dict[str, Any]:
    (shape, colour, background), (other_shape, other_colour, _) = look_of(number), look_of(number + 1)
    one, other = f"{colour} {shape}", f"{other_colour} {other_shape}"
    whole = f"A {one} over a {background} background."
    return {
        "seed": number,
        "whole": whole,
        "followed": f"Context_Control. {whole}",
        "shape": one,
        "move": f"Move the {one} to the right.",
        "swap": f"Put the {one} of Picture 1 where the {other} of Picture 2 is.",
    }


def _filled(what: Any, row: dict[str, Any]) -> Any:
    return [row[one] for one in what] if isinstance(what, list) else row.get(what, what)


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    if path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
