"""What a caller gives as frames, as arrays of bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    import numpy as np


def arrays(frames: Iterable[Any], place: object) -> Iterator[np.ndarray]:
    """uint8 (height, width, 3) of PIL images or such arrays, one after the other.

    Args:
        place: what they are saved as, for messages.

    Raises:
        ValueError: there are none.
        TypeError: one is neither.
    """
    if isinstance(frames, Image.Image) or not isinstance(frames, Iterable):
        raise TypeError(f"{place}: expected a list of images as frames, got {type(frames).__name__}")
    none = True
    for number, frame in enumerate(frames):
        none = False
        yield _array(frame, number, place)
    if none:
        raise ValueError(f"{place}: there are no frames to save")


def of_one_size(frames: Iterable[np.ndarray], place: object) -> Iterator[np.ndarray]:
    """The same frames.

    Raises:
        ValueError: one differs in size from those before.
    """
    size = None
    for number, frame in enumerate(frames):
        shown = f"{frame.shape[1]}x{frame.shape[0]}"
        size = size or shown
        if shown != size:
            raise ValueError(f"{place}: frame {number} is {shown}, those before are {size}; make them of one size")
        yield frame


def _array(frame: Any, number: int, place: object) -> np.ndarray:
    import numpy as np

    if isinstance(frame, Image.Image):
        return np.asarray(frame.convert("RGB"))
    if isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3:
        return np.ascontiguousarray(frame)
    found = f"{frame.dtype} of shape {tuple(frame.shape)}" if hasattr(frame, "shape") else f"a {type(frame).__name__}"
    raise TypeError(f"{place}: frame {number} is {found}, expected a PIL image or a uint8 array (height, width, 3)")
