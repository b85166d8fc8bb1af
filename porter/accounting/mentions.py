"""Where a text names CUDA, NCCL or NVIDIA, in whatever case and as part of whatever word, and why it is passed over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

_MENTION = re.compile(rb"cuda|nccl|nvidia", re.IGNORECASE)
_WORD = re.compile(r"(?<![A-Za-z0-9_])(?:cuda|nccl|nvidia)(?![A-Za-z0-9_])", re.IGNORECASE)

#: Endings of files that hold no text; they are not opened.
_NO_TEXT = frozenset(
    """.png .jpg .jpeg .gif .bmp .webp .ico .tif .tiff .mp4 .mov .avi .webm .mkv .mp3 .wav .flac .ogg .pdf .zip .gz .bz2
    .xz .zst .7z .tar .tgz .whl .egg .so .o .a .dll .dylib .exe .pyc .pyd .pt .pth .bin .ckpt .safetensors .onnx .gguf
    .npy .npz .pkl .pickle .parquet .arrow .h5 .hdf5 .tflite .pb .ttf .otf .woff .woff2""".split()
)

_CHUNK = 1 << 20


def offsets(data: bytes) -> Iterator[int]:
    """The offset of each mention."""
    return (match.start() for match in _MENTION.finditer(data))


def is_named(data: bytes) -> bool:
    return _MENTION.search(data) is not None


def is_named_as_a_word(text: str) -> bool:
    """Whether one of the names stands alone, and not as part of an identifier."""
    return _WORD.search(text) is not None


def lines_that_name(data: bytes) -> list[int]:
    """The lines, from 1, that hold a mention. A line ends in LF, CR, or both."""
    lines = data.splitlines()
    return [number for number, line in enumerate(lines, 1) if _MENTION.search(line)]


def file_names_cuda(path: str) -> bool:
    """Whether a file is text and holds a mention; not for what cannot be read."""
    if path[path.rfind(".") :].lower() in _NO_TEXT:
        return False
    try:
        with open(path, "rb") as file:
            before = b""
            while chunk := file.read(_CHUNK):
                if not before and b"\0" in chunk[:8192]:
                    return False
                if _MENTION.search(before + chunk):
                    return True
                before = chunk[-8:]
    except OSError:
        return False
    return False


class Place(NamedTuple):
    """A line, from 1; in a notebook of the cell with this number, from 1, or of none (0: the file's own line)."""

    cell: int
    line: int


class Reason(Enum):
    """The value is what --explain-skipped says of a line."""

    COMMENT = "a comment"
    DOCSTRING = "a docstring, or a string that nothing takes"
    MESSAGE = "a message for people: printed, logged, raised or shown as help"
    TEXT = "text by what it is called: a prompt, a title, a description"
    SENTENCE = "a sentence in a string"
    NAME = "a name that the program or a library chose"
    NAME_IN_STRING = "a name in a string"
    PATTERN = "a pattern that text is searched for"
    PATH = "a path, a URL or the name of a file"
    DATA = "data by where it stands: a key, or a value that no device is"
    ASKED_FOR = "the program asks first whether it is there"
    OF_TORCH = "torch's own name for what is the same on every device"
    IGNORED = "a comment asks to ignore it"
    PROSE = "prose of a document"
    SESSION = "an interactive session, which shows what was printed once"
    ANOTHER_LANGUAGE = "a block in another language"
    OUTPUT = "what a cell once printed"
    SUPPORTS_BOTH = "in a file that supports the target already"
    NOT_SELECTED = "by rules that were not selected"
    UNREADABLE = "in a block that does not parse"
    ANOTHER_ENGINE = "code for a compiler or another runtime, which is counted as a whole"
