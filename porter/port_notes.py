"""Remember what a port cannot read off its own result, so that undoing does not guess.

A script that imported `get_device_name` itself and one that did not are ported to the same bytes, and so are a script
for CUDA and one that chose between CUDA and the accelerator. So notes are kept in the user's state folder: an empty
file each, called after the script's path, so that runs at the same time do not lose each other's notes. Where they
are missing - on another machine, say - undoing leaves the import in, and takes the script for one for CUDA.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

#: The port added the import of the helper. The file had named both devices.
ADDED_IMPORT, NAMED_BOTH = "import", "both"


def state_folder() -> Path:
    """`$XDG_STATE_HOME/diffsynth-port/notes`, by default below ~/.local/state."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return Path(base, "diffsynth-port", "notes")


def note_of(path: str, kind: str) -> str:
    """What a note about a file is called."""
    from hashlib import sha256  # only a run that has notes to make or to read pays for loading it

    return f"{sha256(os.fsencode(os.path.realpath(path))).hexdigest()}.{kind}"


def remembered() -> frozenset[str]:
    """The notes that there are."""
    try:
        return frozenset(os.listdir(state_folder()))
    except OSError:
        return frozenset()


def remember(path: str, kind: str) -> None:
    """Make a note about this file. A state folder that cannot be written costs nothing but the note."""
    note = state_folder() / note_of(path, kind)
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()


def forget(path: str, kind: str) -> None:
    """The note is no longer true."""
    with suppress(OSError):
        (state_folder() / note_of(path, kind)).unlink()
