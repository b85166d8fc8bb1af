"""The command `dataset`: a few short clips, or pictures, and their metadata, so that training runs without anyone's."""

from __future__ import annotations

import csv
from pathlib import Path

import click

from script_trial.adapters.diffsynth_port.image_dataset import make_image_dataset
from script_trial.adapters.diffsynth_port.moving_shapes import look_of, picture_of


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--clips", type=click.IntRange(1, 64), default=4, show_default=True, help="Number of videos or pictures.")
@click.option("--frames", type=click.IntRange(1), default=81, show_default=True, help="Frames of each.")
@click.option("--height", type=click.IntRange(16), default=480, show_default=True)
@click.option("--width", type=click.IntRange(16), default=832, show_default=True)
@click.option("--images", is_flag=True, help="Pictures, and edits of them, with metadata of their own.")
def dataset(folder: Path, clips: int, frames: int, height: int, width: int, images: bool) -> None:
    """Make a small data set for training: videos of moving shapes, and metadata.csv with their prompts.

    With --images it is pictures, and metadata_edit.csv and metadata_edit_multi.json are there too. The same arguments
    make the same pictures.
    """
    if folder.exists() and not folder.is_dir():
        raise click.UsageError(f"{folder} is no folder; name another")
    if (folder / "metadata.csv").exists():
        raise click.UsageError(f"{folder / 'metadata.csv'} is there already; name another folder or delete it")
    if images:
        make_image_dataset(folder, pictures=clips, height=height, width=width)
        click.echo(f"{folder / 'metadata.csv'}  {clips} pictures, {width}x{height}, and as many to edit")
    else:
        make_dataset(folder, clips=clips, frames=frames, height=height, width=width)
        click.echo(f"{folder / 'metadata.csv'}  {clips} clips of {frames} frames, {width}x{height}")


def make_dataset(folder: Path, *, clips: int, frames: int, height: int, width: int) -> None:
    """Writes ``clip_0.mp4`` and so on, and ``metadata.csv`` with the columns video, prompt and seed."""
    from diffsynth.utils.data import save_video

    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for clip in range(clips):
        shape, colour, background = look_of(clip)
        pictures = [picture_of(clip, height, width, moment / max(frames - 1, 1)) for moment in range(frames)]
        save_video(pictures, folder / f"clip_{clip}.mp4", fps=15, quality=9)
        prompt = f"A {colour} {shape} moves from left to right over a {background} background."
        rows.append({"video": f"clip_{clip}.mp4", "prompt": prompt, "seed": clip})
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["video", "prompt", "seed"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
