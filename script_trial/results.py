"""What a script has made, kept as arrays and tensors until all ways of running it can be compared."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

#: Keys of what no two devices have alike: states of random number generators and of loss scalers, and the time.
_NOT_ALIKE = re.compile(
    r"rng|random_(?:state|seed)|manual_seed|scaler|elapsed|timestamp|(?:^|_)(?:time|seconds|date)(?:$|_)", re.IGNORECASE
)

_NUMBERS = (bool, int, float)


class Results:
    """The results of a script in their order, as JSON and as files in a folder.

    Each has ``name``, ``kind`` ("array" or "tensors"), ``digest``, ``finite`` and the file ``array``; an array has
    ``shape`` and ``dtype`` besides, and tensors ``bytes``. `unread` tells of files that could not be read.
    """

    def __init__(self, folder: Path) -> None:
        self.kept: list[dict[str, Any]] = []
        self.unread: list[str] = []
        self._folder = folder
        self._frames: set[str] = set()
        self._files: set[str] = set()
        self._local = threading.local()
        self._lock = threading.Lock()

    def begin_anew(self, folder: Path) -> None:
        """In a process that was forked off: what has been kept so far is another's."""
        self.kept, self.unread, self._folder = [], [], folder
        self._frames, self._files, self._lock = set(), set(), threading.Lock()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Within it, what this thread saves is no result: something made up, or a saver that uses another one."""
        before = self.is_paused
        self._local.paused = True
        try:
            yield
        finally:
            self._local.paused = before

    @property
    def is_paused(self) -> bool:
        return getattr(self._local, "paused", False)

    def keep(self, name: str, array: Any) -> None:
        """An array. A picture that is a frame of a video kept before is none of its own."""
        if self.is_paused:
            return
        values = as_array(array)
        digest = digest_of(values)
        with self._lock:
            if digest in self._frames:
                return
            if values.ndim == 4 and len(values) > 1:
                self._frames.update(digest_of(values[index : index + 1]) for index in range(len(values)))
            file = self._next(".npy")
            _save_array(file, values)
            kept = {"name": name, "kind": "array", "shape": list(values.shape), "dtype": str(values.dtype)}
            self.kept.append({**kept, "digest": digest, "finite": _is_finite(values), "array": str(file)})

    def keep_tensors(self, name: str, content: Any) -> None:
        """Whatever tensors and numbers there are in an object, by their place in it."""
        import torch

        if self.is_paused:
            return
        values = dict(_values(content, ""))
        if not values:
            return
        tensors = {place: _as_tensor(value) for place, value in values.items()}
        digest = hashlib.sha256()
        for key, tensor in sorted(tensors.items()):
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode() + _bytes_of(tensor))
        finite = all(map(_is_finite_value, values.values()))
        with self._lock, self.paused():
            file = self._next(".pt")
            torch.save(tensors, file)
            size = sum(tensor.nbytes for tensor in tensors.values())
            kept = {"name": name, "kind": "tensors", "bytes": size, "digest": digest.hexdigest()}
            self.kept.append({**kept, "finite": finite, "array": str(file)})

    def has_seen(self, file: Any) -> None:
        """What this file holds was given to a saver, and need not be looked for at the end."""
        if isinstance(file, (str, os.PathLike)):
            self._files.add(os.path.realpath(file))

    @property
    def seen(self) -> list[str]:
        """The files that `has_seen` was told of."""
        return sorted(self._files)

    def have_seen(self, files: Iterable[str]) -> None:
        """So have others."""
        self._files.update(files)

    def look_into(self, folder: Path) -> None:
        """Keeps what the script wrote into its folder and handed to no saver that is listened at."""
        from script_trial.written_files import written_files

        for name, kind, content in written_files(folder, self._files):
            if kind == "tensors":
                self.kept.append(content)
                continue
            if kind == "unread":
                self.unread.append(f"{name} is not what its name says, or cannot be read: its bytes are compared")
            self.keep(name, content)

    def _next(self, suffix: str) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / f"{len(self.kept)}{suffix}"


def as_array(value: Any) -> np.ndarray:
    """An array of what numpy takes, of a tensor on any device, or of a list of either."""
    import numpy as np

    if hasattr(value, "detach"):
        value = value.detach().cpu()
        return np.asarray(value.float() if str(value.dtype) in ("torch.bfloat16",) else value)
    if isinstance(value, (list, tuple)) and any(hasattr(one, "detach") for one in value):
        value = [as_array(one) for one in value]
    array = np.asarray(value)
    return np.asarray(repr(value)) if array.dtype == object else array


def digest_of(array: np.ndarray) -> str:
    import numpy as np

    head = f"{array.dtype} {array.shape}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()


def _is_finite(array: np.ndarray) -> bool:
    import numpy as np

    return array.dtype.kind not in "fc" or bool(np.isfinite(array).all())


def _save_array(file: Path, array: np.ndarray) -> None:
    import numpy as np

    with open(file, "wb") as opened:
        np.lib.format.write_array(opened, array, allow_pickle=False)


def _bytes_of(tensor: Any) -> bytes:
    import torch

    return bytes(tensor.contiguous().reshape(-1).view(torch.uint8).numpy()) if tensor.numel() else b""


def _values(content: Any, place: str) -> Iterator[tuple[str, Any]]:
    """The tensors, arrays and numbers in an object, each with its place."""
    import torch

    if isinstance(content, torch.Tensor):
        if content.layout == torch.strided and not content.is_quantized:
            yield place, content.detach()
    elif isinstance(content, torch.nn.Module):
        yield from _values(content.state_dict(), place)
    elif isinstance(content, Mapping):
        for key, value in content.items():
            if not _NOT_ALIKE.search(str(key)):
                yield from _values(value, f"{place}.{key}" if place else str(key))
    elif isinstance(content, (list, tuple)):
        for index, value in enumerate(content):
            yield from _values(value, f"{place}.{index}" if place else str(index))
    elif isinstance(content, _NUMBERS) or _is_of_numpy(content):
        yield place, content


def _is_of_numpy(content: Any) -> bool:
    return type(content).__module__ == "numpy" and getattr(getattr(content, "dtype", None), "kind", "") in "biuf"


def _as_tensor(value: Any) -> Tensor:
    """On the host, and nobody else's."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.cpu().clone()
    if isinstance(value, _NUMBERS):
        return torch.tensor(value, dtype=torch.float64 if isinstance(value, float) else torch.int64)
    return torch.as_tensor(value).clone()


def _is_finite_value(value: Any) -> bool:
    """Of a mere number infinity is no result gone wrong, but a limit that is none, or the best loss so far."""
    import torch

    if isinstance(value, torch.Tensor):
        return not value.is_floating_point() or bool(value.isfinite().all())
    return not math.isnan(value) if isinstance(value, _NUMBERS) else _is_finite(value)
