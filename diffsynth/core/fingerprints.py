"""What tells one content from another: short digests of values, of files, and of files too large to read whole."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from typing import Any

_CHUNK = 1 << 20
_SAMPLES, _SAMPLE = 64, 1 << 16
_DIGITS = 16


def of_values(values: Any) -> str:
    """Of what JSON can hold; other values by their text."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def of_file(path: str | os.PathLike[str]) -> str:
    """Of a file's whole content; of a file that cannot be read, the reason."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        return f"unreadable ({error.strerror})"
    return digest.hexdigest()[:_DIGITS]


def of_large_files(paths: Iterable[str | os.PathLike[str]]) -> str:
    """Of the sizes of files and of 64 pieces of 64 KiB, evenly spaced in each: enough to tell trained weights apart.

    A file that is no larger than that is read whole.
    """
    digest = hashlib.sha256()
    for path in paths:
        size = os.path.getsize(path)
        digest.update(str(size).encode())
        with open(path, "rb") as file:
            if size <= _SAMPLES * _SAMPLE:
                digest.update(file.read())
                continue
            for sample in range(_SAMPLES):
                file.seek(max(0, size - _SAMPLE) * sample // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE))
    return digest.hexdigest()[:_DIGITS]
