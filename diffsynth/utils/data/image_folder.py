"""The images of a folder as frames, opened when they are asked for."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


class ImageFolder:
    """Frames in the order of the numbers in their names: ``2.png`` before ``10.png``.

    Raises:
        FileNotFoundError: there is no such folder, or no image in it.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise FileNotFoundError(f"{path}: there is no such folder of images")
        self.files = sorted((file for file in path.iterdir() if file.suffix.lower() in ENDINGS), key=_order)
        if not self.files:
            raise FileNotFoundError(f"{path}: no image in the folder, expected files ending in {', '.join(ENDINGS)}")

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Image.Image:
        file = self.files[index]
        try:
            return Image.open(file).convert("RGB")
        except OSError as error:
            raise ValueError(f"{file}: not an image that can be read ({error})") from error


def _order(file: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", file.name)]
