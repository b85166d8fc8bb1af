"""Frames for a pipeline: of a video file or a folder of images, cropped to a size and cut to a length."""

from __future__ import annotations

import re
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import overload

from PIL import Image, ImageOps

from diffsynth.core.caller import is_whole
from diffsynth.core.progress import progress_bar
from diffsynth.utils.data.saving import save_frames
from diffsynth.utils.data.video_file import VideoFile

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


class VideoData:
    """A sequence of RGB images, read when they are asked for. In a with statement it is closed at the end.

    Args:
        video_file: a video that ffmpeg reads.
        image_folder: instead of it, a folder of images, in the order of the numbers in their names.
        height, width: of the frames: each is cropped around its centre to this shape, then resized. As they are where
            both are None.

    Raises:
        ValueError: both or none of the sources are given, one of height and width is, or the video cannot be read.
        FileNotFoundError: the file or folder is not there, or the folder holds no image.
    """

    height: int | None
    width: int | None
    _length: int | None

    def __init__(
        self,
        video_file: str | PathLike[str] | None = None,
        image_folder: str | PathLike[str] | None = None,
        height: int | None = None,
        width: int | None = None,
    ) -> None:
        self._source: VideoFile | ImageFolder
        if video_file is not None and image_folder is None:
            self._source, self._name = VideoFile(Path(video_file)), str(video_file)
        elif image_folder is not None and video_file is None:
            self._source, self._name = ImageFolder(Path(image_folder)), str(image_folder)
        else:
            raise ValueError("VideoData takes video_file or image_folder, one of the two")
        self._length = self.height = self.width = None
        if height is not None or width is not None:
            self.set_shape(height, width)

    def __len__(self) -> int:
        return len(self._source) if self._length is None else self._length

    @overload
    def __getitem__(self, index: int) -> Image.Image: ...
    @overload
    def __getitem__(self, index: slice) -> list[Image.Image]: ...
    def __getitem__(self, index: int | slice) -> Image.Image | list[Image.Image]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(f"{self._name}: frame {index} asked for, there are {len(self)}")
        frame = self._source[number]
        if self.height is None or self.width is None:
            return frame
        return ImageOps.fit(frame, (self.width, self.height), method=Image.Resampling.LANCZOS)

    def __iter__(self) -> Iterator[Image.Image]:
        return (self[number] for number in range(len(self)))

    def raw_data(self) -> list[Image.Image]:
        """All frames."""
        return list(progress_bar(self, desc="Reading frames", total=len(self)))

    def set_length(self, length: int) -> None:
        """Keeps the first ``length`` frames.

        Raises:
            ValueError: there are fewer, or it is no whole number above 0.
        """
        there = len(self._source)
        if not (is_whole(length) and 1 <= length <= there):
            raise ValueError(f"{self._name}: {length!r} frames asked for, there are {there}")
        self._length = length

    def set_shape(self, height: int | None, width: int | None) -> None:
        """The size of the frames from now on.

        Raises:
            ValueError: one of them is missing, or no whole number above 0.
        """
        if not all(is_whole(side) and side > 0 for side in (height, width)):
            raise ValueError(f"{self._name}: height={height!r}, width={width!r}, expected two whole numbers above 0")
        self.height, self.width = height, width

    def close(self) -> None:
        """Ends the decoder of a video file; it starts again with the next frame that is asked for."""
        if isinstance(self._source, VideoFile):
            self._source.close()

    def __enter__(self) -> VideoData:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def save_images(self, folder: str | PathLike[str]) -> None:
        """Writes the frames as ``0.png``, ``1.png`` and so on into a folder, which is made if it is not there."""
        save_frames(self, folder)
