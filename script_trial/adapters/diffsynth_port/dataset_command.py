"""The command `dataset`: a few short clips, or pictures, and their metadata, so that training runs without anyone's."""

from __future__ import annotations

import os
from pathlib import Path

import click

from script_trial.adapters.diffsynth_port.pipelines_needed import pipelines_needed


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
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise click.UsageError(f"{folder} is no folder; name another")
    if os.path.lexists(folder / "metadata.csv"):
        raise click.UsageError(f"{folder / 'metadata.csv'} is there already; name another folder or delete it")
    with pipelines_needed("dataset"):
        from script_trial.adapters.diffsynth_port.image_dataset import make_image_dataset
        from script_trial.adapters.diffsynth_port.video_dataset import make_dataset
    try:
        if images:
            make_image_dataset(folder, pictures=clips, height=height, width=width)
        else:
            make_dataset(folder, clips=clips, frames=frames, height=height, width=width)
    except OSError as error:
        reason = error.strerror or str(error)
        raise click.UsageError(f"{folder} cannot be made: {reason}; name another folder") from None
    made = ("pictures", ", and what is made from them") if images else (f"clips of {frames} frames", "")
    click.echo(f"{folder / 'metadata.csv'}  {clips} {made[0]}, {width}x{height}{made[1]}")
