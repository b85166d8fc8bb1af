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
