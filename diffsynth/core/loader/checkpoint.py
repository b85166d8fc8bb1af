"""Files of weights as one source, whatever their format and however many they are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from diffsynth.core.device.resolution import resolve_device
from diffsynth.core.loader.file_source import ByteSpan, FileSource
from diffsynth.core.loader.torch_file import torch_source
from diffsynth.core.loader.weight_source import CheckpointError, WeightSource

SAFETENSORS = (".safetensors",)
TORCH = (".pth", ".pt", ".bin", ".ckpt")

FilePath = str | os.PathLike[str]


class Checkpoint(WeightSource):
    """The tensors of one or several files (the shards of a model), read as they are asked for.

    Opening reads the headers only. The files stay open, and are read again each time a tensor is asked for; what has
    been read is the caller's own memory.

    Args:
        paths: .safetensors, or .pth, .pt, .bin and .ckpt as torch.save writes them.

    Raises:
        CheckpointError: a file is missing, damaged, of another kind, or would run code when loaded; two files hold
            tensors of the same name.
    """

    def __init__(self, paths: FilePath | Sequence[FilePath]) -> None:
        paths = [paths] if isinstance(paths, (str, os.PathLike)) else paths
        self.paths = [os.fspath(path) for path in paths]
        if not self.paths:
            raise CheckpointError("no file was given: expected the path of a checkpoint, or of each of its shards")
        self._holders: dict[str, WeightSource] = {}
        for file in map(_open, self.paths):
            if both := self._holders.keys() & file.headers.keys():
                key = min(both)
                raise CheckpointError(
                    f"{key!r} is in {self._holders[key].where()} and in {file.where()}: expected the shards of one "
                    "model; name only the files that belong together"
                )
            self._holders |= dict.fromkeys(file.headers, file)
        self.headers = {key: holder.headers[key] for key, holder in self._holders.items()}

    def where(self, key: str | None = None) -> str:
        return ", ".join(self.paths) if key is None else self._holders[key].where(key)

    def read_into(self, key: str, out: Tensor) -> None:
        self.header(key)
        self._holders[key].read_into(key, out)

    def parts(self, key: str) -> Callable[[int, Tensor], None]:
        self.header(key)
        return self._holders[key].parts(key)


def load_state_dict(
    file_path: FilePath | Sequence[FilePath],
    torch_dtype: torch.dtype | None = None,
    device: str | torch.device = "cpu",
    pin_memory: bool = False,
    verbose: int = 0,
) -> dict[str, Tensor]:
    """Reads every tensor of one or several files into private memory.

    Args:
        file_path: as `Checkpoint` takes them.
        torch_dtype: what to convert to; None keeps each tensor's own type.
        device: where to put them.
        pin_memory: page-locked host memory, for copies to a device in the background.
        verbose: 1 prints the files that are read.

    Raises:
        CheckpointError: as `Checkpoint`.
        UnknownDeviceError: this machine has no such device.
        ValueError: pin_memory for tensors that are not in host memory.
    """
    device = device if str(device) == "meta" else resolve_device(device)
    if pin_memory and torch.device(device).type != "cpu":
        raise ValueError(f"pin_memory is for host memory, and device is {str(device)!r}: leave one of them out")
    source = Checkpoint(file_path)
    if verbose:
        print(f"Loading {source.where()}")
    state_dict = {}
    for key, header in source.headers.items():
        dtype = torch_dtype or header.dtype
        state_dict[key] = torch.empty(header.shape, dtype=dtype, device=device, pin_memory=pin_memory)
        source.read_into(key, state_dict[key])
    return state_dict


def _open(path: str) -> WeightSource:
    file = Path(path)
    if not file.is_file():
        what = "is a folder: name the files in it" if file.is_dir() else "does not exist"
        raise CheckpointError(f"{path} {what}")
    if file.suffix not in SAFETENSORS + TORCH:
        raise CheckpointError(f"{path} is no checkpoint: expected {', '.join(SAFETENSORS + TORCH)}")
    with file.open("rb") as opened:
        if opened.read(40).startswith(b"version https://git-lfs"):
            raise CheckpointError(f"{path} is a Git LFS pointer, not the file it stands for: run `git lfs pull` there")
    return FileSource(path, safetensors_spans(path)) if file.suffix in SAFETENSORS else torch_source(path)


# https://huggingface.co/docs/safetensors: the names of types in the header.
_DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "U16": torch.uint16,
    "I16": torch.int16,
    "U32": torch.uint32,
    "I32": torch.int32,
    "U64": torch.uint64,
    "I64": torch.int64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "C64": torch.complex64,
}


def safetensors_spans(path: str) -> dict[str, ByteSpan]:
    """Where each tensor of the file is; no weights are read.

    Raises:
        CheckpointError: the file is cut short or is no safetensors file, or has tensors of a type that torch has not.
    """
    try:
        with safe_open(path, framework="pt"):
            pass  # the library has now checked that the header is sound and covers the file exactly
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is no whole safetensors file ({error}): it is damaged or was not fully downloaded; "
            "delete it and download it again"
        ) from error
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return {key: _span(path, key, entry, data_start=8 + length) for key, entry in header.items()}


def _span(path: str, key: str, entry: dict[str, Any], data_start: int) -> ByteSpan:
    if entry["dtype"] not in _DTYPES:
        raise CheckpointError(f"{path}: {key!r} is of type {entry['dtype']}, which is not supported")
    return ByteSpan(data_start + entry["data_offsets"][0], tuple(entry["shape"]), _DTYPES[entry["dtype"]])
