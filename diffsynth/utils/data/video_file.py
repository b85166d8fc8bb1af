"""The frames of a video file, decoded when they are asked for."""

from __future__ import annotations

import functools
import inspect
import math
import os
import subprocess
import threading
from collections.abc import Generator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from PIL import Image


def imageio_ffmpeg() -> ModuleType:
    """The package.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    try:
        return import_module("imageio_ffmpeg")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'reading and writing videos needs ffmpeg: pip install "imageio[ffmpeg]"', name=error.name
        ) from error


# Decoders of the process that this one was forked from. They are kept, since letting go of one would end it there.
_of_the_parent: list[object] = []


class VideoFile:
    """Frames by number, as RGB images.

    One decoder runs along with the calls: the next frame is at hand, a later one is decoded up to, and an earlier one
    starts again from the beginning, so that every number is exactly that frame in any kind of file. It ends with the
    last frame, with `close`, and with this object. Threads take turns; a process that was forked, or that this object
    was sent to, starts a decoder of its own.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no video that ffmpeg can read.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: there is no such video file")
        self.path = path
        self._begin()
        self._restart()

    def _begin(self) -> None:
        """As before the first frame, with no decoder, in this process."""
        self._frames: Generator[Any, None, None] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._next: float = math.inf
        self._pid = os.getpid()
        self._turn = threading.RLock()

    def __getstate__(self) -> Path:
        return self.path

    def __setstate__(self, path: Path) -> None:
        self.path = path
        self._begin()

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Image.Image:
        with self._in_turn():
            return self._frame(index)

    def _in_turn(self) -> threading.RLock:
        """What a thread holds while it uses the decoder, which is one of this process."""
        if self._pid != os.getpid():
            _of_the_parent.append((self._frames, self._process))
            self._begin()
        return self._turn

    def _frame(self, index: int) -> Image.Image:
        if index < self._next:
            self._restart()
        assert self._frames is not None
        try:
            while self._next < index:
                next(self._frames)
                self._next += 1
            frame = next(self._frames)
        except (StopIteration, RuntimeError) as error:
            raise ValueError(f"{self.path}: the video breaks off at frame {self._next}; is the file whole?") from error
        self._next += 1
        if "_length" in vars(self) and self._next == len(self):
            self.close()
        return Image.frombytes("RGB", self._size, frame)

    @functools.cached_property
    def _length(self) -> int:
        """All frames are decoded once to count them: what files say of themselves is often wrong."""
        try:
            return int(imageio_ffmpeg().count_frames_and_secs(str(self.path.absolute()))[0])
        except RuntimeError as error:
            raise self._unreadable(error) from error

    def close(self) -> None:
        """Ends the decoder. A frame that is asked for later starts another."""
        with self._in_turn():
            if self._frames is not None:
                self._frames.close()
            self._next = math.inf
            if self._process is not None:
                with self._process:  # what reads the frames closes its pipes only while it runs (imageio-ffmpeg 0.8.1)
                    self._process = None

    def __del__(self) -> None:
        if getattr(self, "_process", None) is not None:
            self.close()

    def _restart(self) -> None:
        if self._process is not None:
            self.close()
        # Frames as they are stored: none repeated or left out to even out the rate.
        as_stored = ["-fps_mode", "passthrough"]
        self._frames = frames = imageio_ffmpeg().read_frames(str(self.path.absolute()), output_params=as_stored)
        self._next = 0
        try:
            self._size = tuple(next(frames)["size"])
            self._process = inspect.getgeneratorlocals(frames).get("process")
        except Exception as error:  # its parser of ffmpeg's output raises what the output makes it raise
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> ValueError:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return ValueError(
            f"{self.path}: not a video that ffmpeg can read ({lines[-1] if lines else 'it says nothing'})"
        )
