"""What a script hands to `save_video`, `save_frames` and `Image.save`: kept as arrays, and saved all the same."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


class Saved:
    """Keeps every result of a script in a folder, as ``saved-0.npy`` and so on."""

    def __init__(self, folder: Path) -> None:
        self.results: list[dict[str, Any]] = []
        self._folder = folder
        self._saving = False

    def install(self, data: Any) -> None:
        """Listens at the savers of `data`, the module diffsynth.utils.data, and at PIL's."""
        for name in ("save_video", "save_frames"):
            if hasattr(data, name):
                setattr(data, name, self._kept(getattr(data, name), _frames))
        Image.Image.save = self._kept(Image.Image.save, _picture)

    def _kept(self, save: Callable[..., Any], as_array: Callable[[Any], np.ndarray]) -> Callable[..., Any]:
        @functools.wraps(save)
        def kept(content: Any, *args: Any, **kwargs: Any) -> Any:
            if self._saving:  # one saver uses another
                return save(content, *args, **kwargs)
            if not hasattr(content, "__len__") and not isinstance(content, Image.Image):
                content = list(content)  # to be read twice
            name = args[0] if args else kwargs.get("path", kwargs.get("save_path", kwargs.get("fp", "")))
            self._keep(as_array(content), str(name))
            self._saving = True
            try:
                return save(content, *args, **kwargs)
            finally:
                self._saving = False

        return kept

    def _keep(self, array: np.ndarray, name: str) -> None:
        file = self._folder / f"saved-{len(self.results)}.npy"
        np.save(file, array)
        digest = hashlib.sha256(f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        self.results.append(
            {
                "name": name,
                "shape": list(array.shape),
                "dtype": str(array.dtype),
                "digest": digest.hexdigest(),
                "array": str(file),
            }
        )


def digest_of_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _frames(frames: Iterable[Any]) -> np.ndarray:
    """Frames as one array, (F, H, W, channels)."""
    return np.stack([np.asarray(frame) for frame in frames])


def _picture(picture: Image.Image) -> np.ndarray:
    """A picture as a video of one frame, (1, H, W, channels)."""
    return _frames([picture])
