"""Listens at savers that belong to no library of models: what they are given is a result, and saved all the same."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from script_trial.on_import import Then
from script_trial.results import Results, as_array
from script_trial.written_files import is_to_go_on

Keep = Callable[..., None]


def listeners(
    results: Results, folder: Path, place: Callable[[str], str], check: Callable[[Any], None]
) -> dict[str, Then]:
    """By the module of the savers, what has them listened at.

    `place` tells where the user would find a path, and `check` raises for a file that is not to be written.
    """
    savers = _Savers(results, folder, place, check)
    return {
        "PIL.Image": savers.pil,
        "numpy": savers.numpy,
        "imageio": savers.imageio,
        "imageio.v2": savers.imageio,
        "imageio.v3": savers.imageio_v3,
        "torch": savers.torch,
        "safetensors.torch": savers.safetensors,
        "soundfile": savers.soundfile,
        "scipy.io.wavfile": savers.wavfile,
        "torchaudio": savers.torchaudio,
        "cv2": savers.cv2,
    }


class _Savers:
    def __init__(
        self, results: Results, folder: Path, place: Callable[[str], str], check: Callable[[Any], None]
    ) -> None:
        self._results, self._folder, self._place, self._check = results, folder, place, check

    def pil(self, spec: ModuleSpec) -> None:
        self._listen(sys.modules[spec.name].Image, "save", lambda picture, fp, *_, **__: self._picture(fp, picture))

    def numpy(self, spec: ModuleSpec) -> None:
        numpy = sys.modules[spec.name]
        for name in ("savez", "savez_compressed"):
            self._listen(numpy, name, self._archive)
        self._listen(numpy, "save", lambda file, arr, *_, **__: self._array(file, arr))
        self._listen(numpy, "savetxt", lambda fname, X, *_, **__: self._array(fname, X))

    def imageio(self, spec: ModuleSpec) -> None:
        module: Any = sys.modules[spec.name]
        for name in ("imwrite", "imsave"):
            self._listen(module, name, lambda uri, im, *_, **__: self._picture(uri, im))
        for name in ("mimwrite", "mimsave", "volwrite", "volsave"):
            if hasattr(module, name):
                self._listen(module, name, lambda uri, ims, *_, **__: self._array(uri, ims))
        get_writer = module.get_writer

        @functools.wraps(get_writer)
        def listened(uri: Any, *args: Any, **kwargs: Any) -> Any:
            writer = get_writer(uri, *args, **kwargs)
            self._listen(writer, "append_data", lambda im, *_, **__: self._picture(uri, im))
            return writer

        module.get_writer = listened

    def imageio_v3(self, spec: ModuleSpec) -> None:
        self._listen(sys.modules[spec.name], "imwrite", lambda uri, image, *_, **__: self._array(uri, image))

    def torch(self, spec: ModuleSpec) -> None:
        self._listen(sys.modules[spec.name], "save", lambda obj, f, *_, **__: self._tensors(f, obj))

    def safetensors(self, spec: ModuleSpec) -> None:
        """Files in the script's folder are looked into at its end."""

        def keep(tensors: Any, filename: Any, *_: Any, **__: Any) -> None:
            self._check(filename)
            full = os.path.realpath(filename)
            if os.path.commonpath([full, os.path.realpath(self._folder)]) != os.path.realpath(self._folder):
                self._tensors(filename, tensors)

        self._listen(sys.modules[spec.name], "save_file", keep)

    def soundfile(self, spec: ModuleSpec) -> None:
        self._listen(sys.modules[spec.name], "write", lambda file, data, *_, **__: self._array(file, as_channels(data)))

    def wavfile(self, spec: ModuleSpec) -> None:
        module = sys.modules[spec.name]
        self._listen(module, "write", lambda filename, rate, data: self._array(filename, as_channels(data)))

    def torchaudio(self, spec: ModuleSpec) -> None:
        self._listen(sys.modules[spec.name], "save", lambda uri, src, *_, **__: self._array(uri, src))

    def cv2(self, spec: ModuleSpec) -> None:
        self._listen(sys.modules[spec.name], "imwrite", lambda filename, img, *_, **__: self._picture(filename, img))

    def _listen(self, holder: Any, name: str, keep: Keep) -> None:
        """Has a saver's arguments kept before it is called; what it calls itself is not listened to."""
        save = getattr(holder, name)

        @functools.wraps(save)
        def listened(*args: Any, **kwargs: Any) -> Any:
            if self._results.is_paused:
                return save(*args, **kwargs)
            with contextlib.suppress(TypeError):  # the saver itself says best what is wrong with its arguments
                keep(*args, **kwargs)
            with self._results.paused():
                return save(*args, **kwargs)

        setattr(holder, name, listened)

    def _picture(self, file: Any, picture: Any) -> None:
        self._array(file, as_array(picture)[None])

    def _array(self, file: Any, array: Any) -> None:
        self._check(file)
        self._results.has_seen(file)
        if not _is_to_go_on(file):
            self._results.keep(self._shown(file), array)

    def _archive(self, file: Any, *args: Any, **kwargs: Any) -> None:
        self._check(file)
        self._results.has_seen(f"{file}.npz")
        for name, array in {**{f"arr_{index}": one for index, one in enumerate(args)}, **kwargs}.items():
            self._results.has_seen(file)
            self._results.keep(f"{self._shown(file)}:{name}", array)

    def _tensors(self, file: Any, content: Any) -> None:
        self._check(file)
        self._results.has_seen(file)
        if not _is_to_go_on(file):
            self._results.keep_tensors(self._shown(file), content)

    def _shown(self, file: Any) -> str:
        """What a saved file is called, below the script's folder; of an open file its own name, if it has one."""
        name = file if isinstance(file, (str, os.PathLike)) else getattr(file, "name", "")
        if not isinstance(name, (str, os.PathLike)):
            return ""
        relative = os.path.relpath(name, self._folder) if os.path.isabs(name) else os.fspath(name)
        return self._place(os.fspath(name)) if relative.startswith(os.pardir) else relative


def as_channels(data: Any) -> Any:
    """Samples as they are in files, (samples,) or (samples, channels), as (channels, samples)."""
    array = as_array(data)
    return array[None] if array.ndim == 1 else array.T


def _is_to_go_on(file: Any) -> bool:
    return isinstance(file, (str, os.PathLike)) and is_to_go_on(Path(file))
