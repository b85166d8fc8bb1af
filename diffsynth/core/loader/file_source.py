"""Tensors at known places of one file, read straight into the memory they are to be held in.

Files are read, not mapped: the pages of a mapped file count as the process's memory, so a mapped checkpoint that is
copied into a model takes twice its size.
"""

from __future__ import annotations

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

    `offset` counts bytes from the start of the file to the first value, `strides` count elements.
    """

    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype


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
        self._read_span(key, self.spans[key], out.detach())

    def parts(self, key: str) -> Callable[[int, Tensor], None]:
        self.header(key)
        span = self.spans[key]
        if not _is_contiguous(span):
            return super().parts(key)

        def part(start: int, out: Tensor) -> None:
            offset = span.offset + start * span.dtype.itemsize
            self._read_span(key, ByteSpan(offset, tuple(out.shape), (1,), span.dtype), out)

        return part

    @torch.no_grad()
    def _read_span(self, key: str, span: ByteSpan, out: Tensor) -> None:
        span, out = _flat(span, out)
        if out.device.type == "cpu" and out.dtype == span.dtype and _is_contiguous(span) and out.is_contiguous():
            self._read(key, span.offset, out)
            return
        for piece, destination in _pieces(span, out):
            values = _scratch(_extent(piece), piece.dtype)
            self._read(key, piece.offset, values)
            destination.copy_(torch.as_strided(values, piece.shape, piece.strides))

    def _read(self, key: str, offset: int, out: Tensor) -> None:
        """Fills contiguous host memory from the file."""
        if not out.numel():
            return
        left = out.reshape(-1).view(torch.uint8).numpy().data
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


def _flat(span: ByteSpan, out: Tensor) -> tuple[ByteSpan, Tensor]:
    """Both as one dimension where both are contiguous, so that they can be cut anywhere."""
    if _is_contiguous(span) and out.is_contiguous():
        return span._replace(shape=(out.numel(),), strides=(1,)), out.view(-1)
    return span, out


def _is_contiguous(span: ByteSpan) -> bool:
    expected = 1
    for size, stride in zip(reversed(span.shape), reversed(span.strides), strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


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
