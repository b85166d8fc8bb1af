"""The environment variables of loading, each read when it is needed, and always below what the caller says."""

from __future__ import annotations

import os

MODEL_BASE_PATH = "DIFFSYNTH_MODEL_BASE_PATH"
SKIP_DOWNLOAD = "DIFFSYNTH_SKIP_DOWNLOAD"
DOWNLOAD_SOURCE = "DIFFSYNTH_DOWNLOAD_SOURCE"

DOWNLOAD_SOURCES = ("modelscope", "huggingface")

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")


def model_base_path(explicit: str | os.PathLike[str] | None) -> str:
    """The root of the local model tree ``<root>/<model_id>/``: what the caller says, the variable, or ``./models``."""
    if explicit is not None:
        return os.fspath(explicit)
    return os.environ.get(MODEL_BASE_PATH) or "./models"


def skip_download(explicit: bool | str | None) -> bool:
    """Whether nothing may be downloaded: what the caller says, the variable, or False.

    Raises:
        ValueError: neither a yes nor a no.
    """
    if explicit is not None:
        return boolean("skip_download", str(explicit))
    return boolean(SKIP_DOWNLOAD, os.environ.get(SKIP_DOWNLOAD) or "false")


def download_source(explicit: str | None) -> str:
    """One of `DOWNLOAD_SOURCES`: what the caller says, the variable, or modelscope.

    Raises:
        ValueError: no such source.
    """
    name = "download_source" if explicit is not None else DOWNLOAD_SOURCE
    value = explicit if explicit is not None else os.environ.get(DOWNLOAD_SOURCE) or DOWNLOAD_SOURCES[0]
    if value.strip().lower() not in DOWNLOAD_SOURCES:
        raise ValueError(f"{name} is {value!r}: expected {' or '.join(DOWNLOAD_SOURCES)}")
    return value.strip().lower()


def boolean(name: str, value: str) -> bool:
    """A yes or no in any of the usual spellings.

    Raises:
        ValueError: any other text; the message has the name and the value.
    """
    spelling = value.strip().lower()
    if spelling in _TRUE:
        return True
    if spelling in _FALSE:
        return False
    raise ValueError(f"{name} is {value!r}: expected one of {', '.join(_TRUE)}, or one of {', '.join(_FALSE)}")
