"""Pictures of shapes that move, of which made-up data sets are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

_SHAPES = ("circle", "square", "triangle", "diamond")
_COLOURS = ("red", "green", "blue", "yellow")
_BACKGROUNDS = ("black", "white", "grey", "navy")
_POLYGONS = {"square": (4, 0), "triangle": (3, 0), "diamond": (4, 45)}  # corners, degrees


def look_of(clip: int) -> tuple[str, str, str]:
    """The shape of a clip, its colour and its background: 64 clips are all different."""
    return _SHAPES[clip % 4], _COLOURS[(clip + clip // 4) % 4], _BACKGROUNDS[(clip + clip // 16) % 4]


def picture_of(
    clip: int, height: int, width: int, moment: float, colours: tuple[str, str] | None = None
) -> Image.Image:
    """A frame of a clip, `moment` running from 0 at its start to 1 at its end; with other `colours` of the shape and
    what is behind it."""
    from PIL import Image, ImageDraw

    shape, *own = look_of(clip)
    colour, background = colours or own
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
