"""Images of containers that are made for CUDA."""

from __future__ import annotations

import re

_OF_NVIDIA = re.compile(r"(?:docker\.io/)?nvidia/\S+|nvcr\.io/\S+")
_WITH_CUDA = re.compile(r"\S*(?:cuda|cudnn|[-_.:]cu\d{2,3})\S*", re.IGNORECASE)


def judged_image(image: str, title: str) -> str | None:
    """What to build on instead of an image made for CUDA; None for any other image."""
    if not (_OF_NVIDIA.fullmatch(image) or _WITH_CUDA.fullmatch(image)):
        return None
    return "an image with CANN: ascendai/cann" if "Ascend" in title else f"an image with the drivers of {title}"
