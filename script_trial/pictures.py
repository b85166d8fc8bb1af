"""The frames of several runs to look at: on one sheet, or one by one for a page, with where they differ."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

MARGIN = 4
LABEL_WIDTH, LABEL_HEIGHT = 150, 12
SHOWN_FRAMES = 5
SMALLEST, LARGEST = 96, 360  # pixels; smaller frames are shown magnified, larger ones reduced

DIFFERENCE = "difference"


def draw_side_by_side(runs: list[dict[str, str | None]], picture: Path) -> None:
    """A PNG with a row for each run (``label``, and ``array``: an ``.npy`` file or None), its frames left to right."""
    rows = [(run["label"], _shown(_video(run["array"]))) for run in runs]
    shapes = [frame.size for _, frames in rows for frame in frames] or [(SMALLEST, SMALLEST)]
    width, height = (max(sizes) for sizes in zip(*shapes, strict=True))
    columns = max(len(frames) for _, frames in rows) or 1
    size = (LABEL_WIDTH + columns * (width + MARGIN), MARGIN + len(rows) * (height + MARGIN))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for row, (label, frames) in enumerate(rows):
        top = MARGIN + row * (height + MARGIN)
        draw.text((MARGIN, top + height // 2 - LABEL_HEIGHT // 2), str(label), fill="black")
        if not frames:
            draw.text((LABEL_WIDTH, top + height // 2 - LABEL_HEIGHT // 2), "no frames", fill="black")
        for column, frame in enumerate(frames):
            sheet.paste(frame, (LABEL_WIDTH + column * (width + MARGIN), top))
    picture.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(picture)


def frames_as_uris(runs: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """A few frames of each run as ``data:`` URIs of PNGs: of its first ``.npy`` file that is a picture or a video.

    "difference" is between the first run and the last, by level and channel, as bright as it can be shown; it has no
    frames where there is no difference, and is missing where the two cannot be compared.
    """
    videos = {name: next((one for one in map(_video, files) if one is not None), None) for name, files in runs.items()}
    shown = {name: [_uri(frame) for frame in _shown(video)] for name, video in videos.items()}
    first, last = next(iter(videos.values()), None), next(reversed(videos.values()), None)
    if first is None or last is None or first.shape != last.shape:
        return shown
    apart = np.abs(first.astype(np.int16) - last.astype(np.int16))
    bright = (apart * (255 / max(int(apart.max()), 1))).astype(np.uint8)[..., :3]
    return {**shown, DIFFERENCE: [_uri(frame) for frame in _shown(bright)] if apart.any() else []}


def _video(file: str | None) -> np.ndarray | None:
    """Frames (F, H, W, 1, 3 or 4 channels) of levels; None where the file holds something else."""
    if file is None or not file.endswith(".npy"):
        return None
    array: np.ndarray[Any, Any] = np.load(file, mmap_mode="r")
    if array.ndim == 3 and array.dtype == np.uint8:  # grey
        array = array[..., None]
    return (
        array if array.ndim == 4 and array.dtype == np.uint8 and array.shape[-1] in (1, 3, 4) and array.size else None
    )


def _shown(video: np.ndarray | None) -> list[Image.Image]:
    """A few frames, spread over the video, of a size to look at."""
    if video is None:
        return []
    chosen = np.unique(np.linspace(0, len(video) - 1, SHOWN_FRAMES).round().astype(int))
    pixels = [np.ascontiguousarray(video[index]) for index in chosen]
    frames = [Image.fromarray(one[..., 0] if one.shape[-1] == 1 else one).convert("RGB") for one in pixels]
    scale = max(1, -(-SMALLEST // min(frames[0].size)))
    larger = [frame.resize((frame.width * scale, frame.height * scale), Image.Resampling.NEAREST) for frame in frames]
    for frame in larger:
        frame.thumbnail((max(LARGEST, SMALLEST * 2), LARGEST))
    return larger


def _uri(frame: Image.Image) -> str:
    written = io.BytesIO()
    frame.save(written, "PNG")
    return "data:image/png;base64," + base64.b64encode(written.getvalue()).decode("ascii")
