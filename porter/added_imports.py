"""Remember which files a port added the helper import to, so that undoing takes out those and no others.

A script that imported `get_device_name` itself and one that did not are ported to the same bytes; nothing in the
ported file tells them apart. So the paths are kept in the user's state folder. Where that memory is missing - on
another machine, say - undoing leaves the import in, which does no harm.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from porter.writing import CannotWrite, replace_file


def state_file() -> Path:
    """`$XDG_STATE_HOME/diffsynth-port/added-imports.json`, by default below ~/.local/state."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return Path(base, "diffsynth-port", "added-imports.json")


def remembered() -> frozenset[str]:
    """The real paths of the files to which a port added the import."""
    try:
        content = json.loads(state_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return frozenset()
    return frozenset(path for path in content if isinstance(path, str)) if isinstance(content, list) else frozenset()


def remember(added: Iterable[str], settled: Iterable[str]) -> None:
    """Add the files that a port has just added the import to; forget those that are `settled` another way."""
    before = remembered()
    after = (before - frozenset(settled)) | frozenset(added)
    if after == before:
        return
    path = state_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(str(path), (json.dumps(sorted(after), indent=1) + "\n").encode("utf-8"))
    except (OSError, CannotWrite):
        return  # a state folder that cannot be written costs an unused import after undoing, and nothing else
