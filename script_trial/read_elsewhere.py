"""Files that a script reads where it runs, and that its user has in another folder: read there, and never written."""

from __future__ import annotations

import builtins
import functools
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

#: A folder where a script looks, and the one that it stands for.
StandsFor = tuple[Path, Path]


def read_elsewhere(folders: Sequence[StandsFor]) -> None:
    """From now on `open` reads what is missing in one of these folders in the folder that it stands for."""
    open_here = io.open

    @functools.wraps(open_here)
    def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if isinstance(file, (str, bytes, os.PathLike)) and not set(mode) & set("wax+"):
            file = found(file, folders)
        return open_here(file, mode, *args, **kwargs)

    builtins.open = io.open = opened


def found(file: Any, folders: Sequence[StandsFor], exists: Callable[[Any], bool] = os.path.exists) -> Any:
    """The file itself where it is there, or nowhere; else where it is."""
    if exists(file):
        return file
    path = Path(os.path.abspath(os.fsdecode(file)))
    for here, elsewhere in folders:
        if path.is_relative_to(here) and (there := elsewhere / path.relative_to(here)).is_file():
            return str(there)
    return file
