"""imageio-ffmpeg, imported when a video is read or written."""

from __future__ import annotations

from types import ModuleType


def imageio_ffmpeg() -> ModuleType:
    """The package.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    try:
        import imageio_ffmpeg
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'reading and writing videos needs ffmpeg: pip install "imageio[ffmpeg]"', name=error.name
        ) from error
    return imageio_ffmpeg
