"""The command `dataset`: a few short clips, or pictures, and their metadata, so that training runs without anyone's."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import click
from PIL import ImageFilter

from script_trial.adapters.diffsynth_port.image_dataset import make_image_dataset
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


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--clips", type=click.IntRange(1, 64), default=4, show_default=True, help="Number of videos or pictures.")
@click.option("--frames", type=click.IntRange(1), default=81, show_default=True, help="Frames of each.")
@click.option("--height", type=click.IntRange(16), default=480, show_default=True)
@click.option("--width", type=click.IntRange(16), default=832, show_default=True)
@click.option("--images", is_flag=True, help="Pictures, and edits of them, with metadata of their own.")
def dataset(folder: Path, clips: int, frames: int, height: int, width: int, images: bool) -> None:
    """Make a small data set for training: videos of moving shapes, and metadata.csv with their prompts.

    metadata_control.csv, metadata_reference_control.csv, metadata_vace.csv and metadata_camera_control.csv name what
    models take besides: the outlines of each video, a picture of its shape, how its camera moves.

    With --images it is pictures, and there are metadata files for what else Qwen-Image models take: edits, outlines,
    depths and masks to follow, entities, and layers. The same arguments make the same pictures.
    """
    if folder.exists() and not folder.is_dir():
        raise click.UsageError(f"{folder} is no folder; name another")
    if (folder / "metadata.csv").exists():
        raise click.UsageError(f"{folder / 'metadata.csv'} is there already; name another folder or delete it")
    if images:
        make_image_dataset(folder, pictures=clips, height=height, width=width)
        click.echo(f"{folder / 'metadata.csv'}  {clips} pictures, {width}x{height}, and what is made from them")
    else:
        make_dataset(folder, clips=clips, frames=frames, height=height, width=width)
        click.echo(f"{folder / 'metadata.csv'}  {clips} clips of {frames} frames, {width}x{height}")


def make_dataset(folder: Path, *, clips: int, frames: int, height: int, width: int) -> None:
    """Writes ``clip_0.mp4``, its outlines and its shape, and so on, and the metadata files of `METADATA`."""
    from diffsynth.utils.data import save_video

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
