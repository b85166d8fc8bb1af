"""The header of a .safetensors file: which tensors it holds, and where."""

from __future__ import annotations

import json
import math
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from diffsynth.core.loader.file_source import ByteSpan
from diffsynth.core.loader.weight_source import CheckpointError

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
    return ByteSpan(
        data_start + entry["data_offsets"][0],
        tuple(entry["shape"]),
        _contiguous_strides(entry["shape"]),
        _DTYPES[entry["dtype"]],
    )


def _contiguous_strides(shape: list[int]) -> tuple[int, ...]:
    """Strides, in elements, of a tensor of this shape without gaps."""
    return tuple(math.prod(shape[dimension + 1 :]) for dimension in range(len(shape)))
