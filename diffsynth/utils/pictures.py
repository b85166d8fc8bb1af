"""Pictures of the sizes that networks take."""

from __future__ import annotations

import math

from PIL import Image


def of_area(picture: Image.Image, area: int, multiple: int = 32) -> Image.Image:
    """The picture resized to about `area` pixels in its own proportions, both sides multiples of `multiple`."""
    ratio = picture.width / picture.height
    width = max(1, round(math.sqrt(area * ratio) / multiple)) * multiple
    height = max(1, round(math.sqrt(area / ratio) / multiple)) * multiple
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def check_size(name: str, picture: Image.Image, height: int, width: int) -> None:
    """Raises ValueError unless the keyword of that name is a picture of that size."""
    if not isinstance(picture, Image.Image):
        raise ValueError(f"{name} is a {type(picture).__name__}: expected a PIL image")
    if picture.size != (width, height):
        raise ValueError(
            f"{name} is {picture.width}x{picture.height}, but the picture asked for is {width}x{height}: "
            f"PIL.ImageOps.fit({name}, ({width}, {height})) crops and resizes"
        )
