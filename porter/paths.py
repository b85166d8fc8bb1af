"""Paths as they are written down: relative to a folder, with forward slashes, the same on every system."""

from __future__ import annotations

import os


def relative_to(folder: str, path: str) -> str:
    """`path`, given from the working directory, as seen from `folder`; absolute if it is on another drive."""
    try:
        relative = os.path.relpath(path, folder)
    except ValueError:
        relative = os.path.abspath(path)
    return relative.replace(os.sep, "/")
