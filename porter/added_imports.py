"""Remember which files a port added the helper import to, so that undoing takes out those and no others.

A script that imported `get_device_name` itself and one that did not are ported to the same bytes; nothing in the
ported file tells them apart. So a note of each is kept in the user's state folder: an empty file, called after the
script's path, so that runs at the same time do not lose each other's notes. Where the notes are missing - on another
machine, say - undoing leaves the import in, which does no harm.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def state_folder() -> Path:
    """`$XDG_STATE_HOME/diffsynth-port/added-imports`, by default below ~/.local/state."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return Path(base, "diffsynth-port", "added-imports")


def note_of(path: str) -> str:
    """What the note about a file is called."""
    from hashlib import sha256  # only undoing, and a port that adds the import, pay for loading it

    return sha256(os.fsencode(os.path.realpath(path))).hexdigest()


def remembered() -> frozenset[str]:
    """The notes of the files to which a port added the import."""
    try:
        return frozenset(os.listdir(state_folder()))
    except OSError:
        return frozenset()


def remember(path: str) -> None:
    """Note that a port adds the import to this file."""
    note = state_folder() / note_of(path)
    with suppress(OSError):  # a state folder that cannot be written costs an unused import after undoing, no more
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()


def forget(path: str) -> None:
    """The file was undone."""
    with suppress(OSError):
        (state_folder() / note_of(path)).unlink()
