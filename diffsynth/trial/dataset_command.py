"""The command `dataset`: a few short clips and their metadata, so that training runs without anyone's videos."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from PIL import Image

_SHAPES = ("circle", "square", "triangle", "diamond")
_COLOURS = ("red", "green", "blue", "yellow")
_BACKGROUNDS = ("black", "white", "grey", "navy")
_POLYGONS = {"square": (4, 0), "triangle": (3, 0), "diamond": (4, 45)}  # corners, degrees


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--clips", type=click.IntRange(1, 64), default=4, show_default=True, help="Number of videos.")
@click.option("--frames", type=click.IntRange(1), default=81, show_default=True, help="Frames of each.")
@click.option("--height", type=click.IntRange(16), default=480, show_default=True)
@click.option("--width", type=click.IntRange(16), default=832, show_default=True)
def dataset(folder: Path, clips: int, frames: int, height: int, width: int) -> None:
    """Make a small data set for training: videos of moving shapes, and metadata.csv with their prompts.

    The same arguments make the same pictures.
    """
    if (folder / "metadata.csv").exists():
        raise click.UsageError(f"{folder / 'metadata.csv'} is there already; name another folder or delete it")
    make_dataset(folder, clips=clips, frames=frames, height=height, width=width)
    click.echo(f"{folder / 'metadata.csv'}  {clips} clips of {frames} frames, {width}x{height}")


def make_dataset(folder: Path, *, clips: int, frames: int, height: int, width: int) -> None:
    """Writes ``clip_0.mp4`` and so on, and ``metadata.csv`` with the columns video, prompt and seed."""
    from diffsynth.utils.data import save_video

    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for clip in range(clips):
        shape, colour = _SHAPES[clip % 4], _COLOURS[(clip + clip // 4) % 4]
        background = _BACKGROUNDS[(clip + clip // 16) % 4]
        pictures = [
            _picture(shape, colour, background, height, width, moment / max(frames - 1, 1)) for moment in range(frames)
        ]
        save_video(pictures, folder / f"clip_{clip}.mp4", fps=15, quality=9)
        prompt = f"A {colour} {shape} moves from left to right over a {background} background."
        rows.append({"video": f"clip_{clip}.mp4", "prompt": prompt, "seed": clip})
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["video", "prompt", "seed"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _picture(shape: str, colour: str, background: str, height: int, width: int, moment: float) -> Image.Image:
    """A frame, `moment` running from 0 at the start of the clip to 1 at its end."""
    from PIL import Image, ImageDraw

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
