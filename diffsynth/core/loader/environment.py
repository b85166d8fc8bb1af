"""The environment variables of loading, each read when it is needed, and always below what the caller says."""

from __future__ import annotations

import os
from collections.abc import Sequence

MODEL_BASE_PATH = "DIFFSYNTH_MODEL_BASE_PATH"
SKIP_DOWNLOAD = "DIFFSYNTH_SKIP_DOWNLOAD"
DOWNLOAD_SOURCE = "DIFFSYNTH_DOWNLOAD_SOURCE"

DOWNLOAD_SOURCES = ("modelscope", "huggingface")

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("false", "0", "no", "off")


def model_base_path(explicit: str | os.PathLike[str] | None) -> str:
    """The root of the local model tree ``<root>/<model_id>/``: what the caller says, the variable, or ``./models``."""
    return os.fspath(explicit if explicit is not None else os.environ.get(MODEL_BASE_PATH) or "./models")


def skip_download(explicit: bool | str | None) -> bool:
    """Whether nothing may be downloaded: what the caller says, the variable, or False.

    Raises:
        ValueError: neither a yes nor a no.
    """
    expected = f"one of {', '.join(_TRUE)}, or one of {', '.join(_FALSE)}"
    return _said("skip_download", explicit, SKIP_DOWNLOAD, (*_FALSE, *_TRUE), expected) in _TRUE


def download_source(explicit: str | None) -> str:
    """One of `DOWNLOAD_SOURCES`: what the caller says, the variable, or modelscope.

    Raises:
        ValueError: no such source.
    """
    return _said("download_source", explicit, DOWNLOAD_SOURCE, DOWNLOAD_SOURCES, " or ".join(DOWNLOAD_SOURCES))


def _said(keyword: str, explicit: object, variable: str, known: Sequence[str], expected: str) -> str:
    """Which of the known values the caller says, or else the variable, or else the first of them."""
    name, value = (keyword, explicit) if explicit is not None else (variable, os.environ.get(variable) or known[0])
    if str(value).strip().lower() not in known:
        raise ValueError(f"{name} is {value!r}: expected {expected}")
    return str(value).strip().lower()
