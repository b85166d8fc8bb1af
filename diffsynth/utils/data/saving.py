"""Frames into a video file, or into a folder of images.

A video appears under its name only when it is whole: it is written beside it first. Where several processes share a
generation, all have the same frames, and only the main one writes them.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import logging
import math
import uuid
from collections.abc import Iterable, Iterator, Sized
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from diffsynth.core.caller import is_number
from diffsynth.core.parallel.main_rank import is_main_rank
from diffsynth.core.progress import progress_bar
from diffsynth.utils.data.video_file import imageio_ffmpeg


def _arrays(frames: Iterable[Any], place: object, *, of_one_size: bool = False) -> Iterator[np.ndarray]:
    """uint8 (height, width, 3) of PIL images or such arrays, one after the other.

    Args:
        place: what they are saved as, for messages.

    Raises:
        ValueError: there are none, or one differs in size from those before where they have to be of one.
        TypeError: one is neither.
    """
    if isinstance(frames, Image.Image) or not isinstance(frames, Iterable):
        raise TypeError(f"{place}: expected a list of images as frames, got {type(frames).__name__}")
    before = None
    for number, frame in enumerate(frames):
        array = _array(frame, number, place)
        size = f"{array.shape[1]}x{array.shape[0]}"
        if of_one_size and before not in (None, size):
            raise ValueError(f"{place}: frame {number} is {size}, those before are {before}; make them of one size")
        before = size
        yield array
    if before is None:
        raise ValueError(f"{place}: there are no frames to save")


def _array(frame: Any, number: int, place: object) -> np.ndarray:
    if isinstance(frame, Image.Image):
        return np.asarray(frame.convert("RGB"))
    if isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3:
        return np.ascontiguousarray(frame)
    found = f"{frame.dtype} of shape {tuple(frame.shape)}" if hasattr(frame, "shape") else f"a {type(frame).__name__}"
    raise TypeError(f"{place}: frame {number} is {found}, expected a PIL image or a uint8 array (height, width, 3)")


CODECS = {".mp4": "libx264", ".mov": "libx264", ".mkv": "libx264", ".avi": "libx264", ".webm": "libvpx-vp9"}

logger = logging.getLogger(__name__)


def save_video(
    frames: Iterable[Image.Image | np.ndarray],
    save_path: str | PathLike[str],
    fps: float,
    quality: float = 9,
    ffmpeg_params: list[str] | None = None,
) -> None:
    """Writes a video of exactly these frames, at their size and this rate.

    Players expect an even width and height (yuv420p). A video where one is odd keeps its size and is written as
    yuv444p, which fewer players show; a warning says so.

    Args:
        frames: PIL images, or uint8 arrays (height, width, 3), all of one size.
        save_path: its ending says the kind: .mp4, .mov, .mkv, .avi or .webm. Missing folders are made.
        fps: frames per second.
        quality: 1 to 10, the best.
        ffmpeg_params: options for ffmpeg's output, such as ``["-movflags", "+faststart"]``.

    Raises:
        ValueError: there are no frames, they differ in size, or an argument is out of range; the message says which.
        TypeError: a frame is neither an image nor such an array.
        OSError: the file could not be written.
    """
    path = Path(save_path)
    _check_arguments(path, fps, quality)
    if not is_main_rank():
        return
    checked = _arrays(frames, path, of_one_size=True)
    first = next(checked)
    length = len(frames) if isinstance(frames, Sized) else None
    with _appearing_whole(path) as unfinished:
        writer = _writer(unfinished, first, float(fps), quality, ffmpeg_params, path)
        process = inspect.getgeneratorlocals(writer).get("p")
        count = 0
        with contextlib.closing(writer):
            for frame in progress_bar(itertools.chain([first], checked), desc="Saving video", total=length):
                _send(writer, frame, path, ffmpeg_params)
                count += 1
        _check_written(unfinished, process, count, path, ffmpeg_params)


def save_frames(frames: Iterable[Image.Image | np.ndarray], save_path: str | PathLike[str]) -> None:
    """Writes frames as ``0.png``, ``1.png`` and so on into a folder, which is made if it is not there.

    Raises:
        ValueError: there are no frames.
        TypeError: a frame is neither an image nor a uint8 array (height, width, 3).
        OSError: the files could not be written.
    """
    if not is_main_rank():
        return
    folder = Path(save_path)
    length = len(frames) if isinstance(frames, Sized) else None
    for number, frame in enumerate(progress_bar(_arrays(frames, folder), desc="Saving images", total=length)):
        _make(folder)
        Image.fromarray(frame).save(folder / f"{number}.png")


def _check_arguments(path: Path, fps: object, quality: object) -> None:
    if path.suffix.lower() not in CODECS:
        raise ValueError(f"{path}: the ending {path.suffix!r} is not known, expected one of {', '.join(CODECS)}")
    if not is_number(fps) or not math.isfinite(fps) or fps <= 0:
        raise ValueError(f"{path}: fps={fps!r}, expected a number of frames per second above 0")
    if not is_number(quality) or not 1 <= quality <= 10:
        raise ValueError(f"{path}: quality={quality!r}, expected 1 to 10, the best")


@contextlib.contextmanager
def _appearing_whole(path: Path) -> Iterator[Path]:
    """A file beside the one to be, which becomes it at the end, and is gone if anything fails."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, expected the name of a video file")
    _make(path.parent)
    # Absolute, since ffmpeg takes what stands before a colon for a protocol.
    unfinished = path.absolute().with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        for file in (unfinished, _told(unfinished)):
            file.unlink(missing_ok=True)


def _told(unfinished: Path) -> Path:
    """Where ffmpeg says how far it has come with a file."""
    return unfinished.with_suffix(".progress")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(f"{folder}: {error.filename or folder} is a file, expected a folder") from error


def _writer(
    unfinished: Path, frame: np.ndarray, fps: float, quality: float, ffmpeg_params: list[str] | None, path: Path
) -> Any:
    height, width = frame.shape[:2]
    codec = CODECS[path.suffix.lower()]
    params = [] if codec == "libx264" else ["-crf", str(int((1 - quality / 10) * 63)), "-b:v", "0"]
    writer = imageio_ffmpeg().write_frames(
        str(unfinished),
        (width, height),
        fps=fps,
        quality=quality if codec == "libx264" else None,
        codec=codec,
        pix_fmt_out=_pixel_format(path, width, height),
        macro_block_size=1,  # any other rescales what does not fit
        output_params=[*params, "-progress", f"file:{_told(unfinished)}", *(ffmpeg_params or [])],
    )
    writer.send(None)
    return writer


def _pixel_format(path: Path, width: int, height: int) -> str:
    if width % 2 == 0 and height % 2 == 0:
        return "yuv420p"
    logger.warning(
        "%s: %dx%d is odd, so it is written as yuv444p, which some players do not show; crop to an even size for those",
        path,
        width,
        height,
    )
    return "yuv444p"


def _send(writer: Any, frame: np.ndarray, path: Path, ffmpeg_params: list[str] | None) -> None:
    try:
        writer.send(frame)
    except OSError as error:
        raise OSError(_refused(path, ffmpeg_params)) from error


def _check_written(unfinished: Path, process: Any, count: int, path: Path, ffmpeg_params: list[str] | None) -> None:
    if process is not None and process.returncode != 0:
        raise OSError(_refused(path, ffmpeg_params))
    written = _frames_told(_told(unfinished))
    if process is None or written is None:
        written = _frames_counted(unfinished, path, ffmpeg_params)
    if written != count:
        raise OSError(f"{path}: ffmpeg wrote {written} frames of {count}; check ffmpeg_params={ffmpeg_params!r}")


def _frames_told(file: Path) -> int | None:
    """What ffmpeg says at the end of its progress; None where it says nothing."""
    lines = file.read_text("utf-8").split() if file.exists() else []
    frames = [int(number) for name, _, number in (line.partition("=") for line in lines) if name == "frame"]
    return frames[-1] if frames and lines[-1] == "progress=end" else None


def _frames_counted(unfinished: Path, path: Path, ffmpeg_params: list[str] | None) -> int:
    """By decoding all of them."""
    try:
        return int(imageio_ffmpeg().count_frames_and_secs(str(unfinished))[0])
    except RuntimeError as error:
        raise OSError(_refused(path, ffmpeg_params)) from error


def _refused(path: Path, ffmpeg_params: list[str] | None) -> str:
    reason = f"check ffmpeg_params={ffmpeg_params!r}" if ffmpeg_params else "check the room on the disk"
    return f"{path}: ffmpeg could not write it, and says why above; {reason}"
