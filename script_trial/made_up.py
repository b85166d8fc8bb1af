"""What a script reads and does not have here, made up: pictures, and whatever an adapter knows how to make.

What is made up for one process is what all of them read.
"""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

Write = Callable[[Path], object]


def once(made_up: Path, name: str, write: Write) -> Path:
    """A file or folder ``made_up/name``, written by the first process that asks for it; the others wait."""
    place = made_up / name
    place.parent.mkdir(parents=True, exist_ok=True)
    notes = made_up / ".written"
    notes.mkdir(parents=True, exist_ok=True)
    done = notes / name.replace("/", "--")
    if done.exists():
        return place
    with open(notes / f"{done.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            write(place)
            done.touch()
    return place


def found_or_made_up(file: str | os.PathLike[str], started_in: Path, folder: Path, write: Write) -> Path:
    """The file as the script finds it, else as its user has it in `started_in`, else one made up below `folder`."""
    for path in (Path(file), started_in / file):
        if path.exists():
            return path
    made = Path(folder, "made_up", *Path(file).parts[-3:])
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(made, write)
    return made


def _write_whole(place: Path, write: Write) -> None:
    """Other processes and threads of the same launch look for the file: it is there whole, or not at all."""
    beside = tempfile.mkdtemp(prefix=".unfinished-", dir=place.parent)
    try:
        unfinished = Path(beside, place.name)
        write(unfinished)
        os.replace(unfinished, place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def with_picture(open_picture: Callable[..., Any], found: Callable[[str | os.PathLike[str], Write], Path]) -> Any:
    """`PIL.Image.open`, with a picture made up where its file is missing."""

    @functools.wraps(open_picture)
    def made(fp: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(fp, (str, os.PathLike)):
            fp = found(fp, write_picture)
        return open_picture(fp, *args, **kwargs)

    return made


def write_picture(path: Path) -> None:
    """A still of slowly changing colours, as a file of the kind its name says."""
    from PIL import Image

    Image.fromarray(pattern(256, 256, 0.0)).save(path)


def pattern(height: int, width: int, time: float) -> np.ndarray:
    """One frame of moving colours, (height, width, 3) bytes; `time` goes from 0 to 1."""
    import numpy as np

    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [np.sin(2 * np.pi * (angle[0] * x + angle[1] * y + time)) for angle in ((1, 2), (2, -1), (-1, 3))]
    return ((np.stack(waves, axis=-1) + 1) * 127.5).astype(np.uint8)
