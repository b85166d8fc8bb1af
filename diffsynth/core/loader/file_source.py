"""Tensors at known places of one file, read straight into the memory they are to be held in.

Files are read, not mapped: the pages of a mapped file count as the process's memory, so a mapped checkpoint that is
copied into a model takes twice its size.
"""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from diffsynth.core.loader.weight_source import CheckpointError, TensorHeader, WeightSource

# What is converted, rearranged or sent to a device passes through a buffer of this size, one for each thread that
# reads: small enough to stay in the processor's cache, which makes the second pass over the bytes cheap.
SCRATCH_BYTES = 2 << 20
# A single system call reads at most this much, so that an interrupt is seen in between.
CALL_BYTES = 64 << 20


class ByteSpan(NamedTuple):
    """Where a tensor's values are in a file.

    `offset` counts bytes from the start of the file to the first value, `strides` count elements; none are given where
    the values lie row by row without gaps.
    """

    offset: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    strides: tuple[int, ...] = ()


class FileSource(WeightSource):
    """The tensors of one open file.

    The file is opened once, and closed when the source goes away.

    Attributes:
        spans: where each tensor is.
    """

    def __init__(self, path: str, spans: Mapping[str, ByteSpan]) -> None:
        self._path = path
        self.spans = spans
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - held open, for reading at every step
        self._position = threading.Lock()
        weakref.finalize(self, self._file.close)
        self.headers = {key: TensorHeader(span.shape, span.dtype) for key, span in spans.items()}

    def where(self, key: str | None = None) -> str:
        return self._path

    def read_into(self, key: str, out: Tensor) -> None:
        self.header(key, out)
        span, out = self.spans[key], out.detach()
        if not span.strides and out.is_contiguous():
            self._read_row(key, 0, out.view(-1))
        else:
            strides = span.strides or torch.empty(span.shape, device="meta").stride()
            for piece, destination in _pieces(span._replace(strides=strides), out):
                values = _scratch(_extent(piece), piece.dtype)
                self._read(key, piece.offset, values)
                destination.copy_(torch.as_strided(values, piece.shape, piece.strides))

    def parts(self, key: str) -> Callable[[int, Tensor], None]:
        self.header(key)
        return super().parts(key) if self.spans[key].strides else functools.partial(self._read_row, key)

    def _read_row(self, key: str, start: int, out: Tensor) -> None:
        """What `parts` returns, of a tensor whose values lie row by row; `out` may be on a device too."""
        span = self.spans[key]
        offset = span.offset + start * span.dtype.itemsize
        if out.device.type == "cpu" and out.dtype == span.dtype:
            self._read(key, offset, out)
        else:
            for part in torch.split(out, SCRATCH_BYTES // span.dtype.itemsize):
                values = _scratch(part.numel(), span.dtype)
                self._read(key, offset, values)
                part.copy_(values)
                offset += values.nbytes

    def _read(self, key: str, offset: int, out: Tensor) -> None:
        """Fills contiguous host memory, 1D, from the file."""
        left = out.view(torch.uint8).numpy().data
        while left:
            count = self._read_at(offset, left[:CALL_BYTES])
            if not count:
                raise CheckpointError(f"{self._path} ends within {key!r}: it has been changed since it was opened")
            left, offset = left[count:], offset + count

    def _read_at(self, offset: int, out: memoryview) -> int:
        """Reads from a place in the file, whatever other threads read; returns the number of bytes."""
        if hasattr(os, "preadv"):
            return os.preadv(self._file.fileno(), [out], offset)
        with self._position:  # Windows
            self._file.seek(offset)
            return self._file.readinto(out) or 0


_of_thread = threading.local()


def _scratch(count: int, dtype: torch.dtype) -> Tensor:
    """`count` elements of this thread's buffer."""
    if not hasattr(_of_thread, "scratch"):
        _of_thread.scratch = torch.empty(SCRATCH_BYTES, dtype=torch.uint8, device="cpu")
    scratch: Tensor = _of_thread.scratch
    return scratch[: count * dtype.itemsize].view(dtype)


def _extent(span: ByteSpan) -> int:
    """Elements from the first to the last that the span touches."""
    return 1 + sum((size - 1) * stride for size, stride in zip(span.shape, span.strides, strict=True))


def _pieces(span: ByteSpan, out: Tensor) -> Iterator[tuple[ByteSpan, Tensor]]:
    """Cuts both alike until the file's part fits into the scratch buffer, always where it is the longest."""
    if not out.numel():
        return
    if _extent(span) * span.dtype.itemsize <= SCRATCH_BYTES:
        yield span, out
        return
    dimension = max(range(len(span.shape)), key=lambda d: (span.shape[d] - 1) * span.strides[d])
    size, stride = span.shape[dimension], span.strides[dimension]
    for start, length in ((0, size // 2), (size // 2, size - size // 2)):
        shape = (*span.shape[:dimension], length, *span.shape[dimension + 1 :])
        part = span._replace(offset=span.offset + start * stride * span.dtype.itemsize, shape=shape)
        yield from _pieces(part, out.narrow(dimension, start, length))
