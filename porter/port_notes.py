"""Remember what a port cannot read off its own result, so that undoing does not guess.

A script that imported `get_device_name` itself and one that did not are ported to the same bytes, and so are a script
for CUDA and one that chose between CUDA and the accelerator. So notes are kept in the user's state folder: an empty
file each, called after the script's path, so that runs at the same time do not lose each other's notes. Where they
are missing - on another machine, say - undoing leaves the import in, and takes the script for one for CUDA.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache

#: The port added the import of the helper. The file had named both devices.
ADDED_IMPORT, NAMED_BOTH = "import", "both"


def state_folder() -> str:
    """`$XDG_STATE_HOME/diffsynth-port/notes`, by default below ~/.local/state."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(base, "diffsynth-port", "notes")


def note_of(path: str, kind: str) -> str:
    """What a note about a file is called."""
    from hashlib import sha256  # only a run that has notes to make or to read pays for loading it

    return f"{sha256(os.fsencode(os.path.realpath(path))).hexdigest()}.{kind}"


def kinds_of(path: str, notes: frozenset[str]) -> frozenset[str]:
    """The kinds of those of the notes that are about a file."""
    return _kinds(notes).get(note_of(path, ""), frozenset()) if notes else frozenset()


@cache
def _kinds(notes: frozenset[str]) -> dict[str, frozenset[str]]:
    """The kinds of the notes about each file."""
    kinds: dict[str, set[str]] = {}
    for note in notes:
        file, dot, kind = note.partition(".")
        kinds.setdefault(file + dot, set()).add(kind)
    return {file: frozenset(some) for file, some in kinds.items()}


def remembered() -> frozenset[str]:
    """The notes that there are."""
    try:
        return frozenset(os.listdir(state_folder()))
    except OSError:
        return frozenset()


def remember(path: str, kind: str) -> None:
    """Make a note about this file. A state folder that cannot be written costs nothing but the note."""
    with suppress(OSError):
        os.makedirs(state_folder(), exist_ok=True)
        open(os.path.join(state_folder(), note_of(path, kind)), "ab").close()


def forget(path: str, kind: str) -> None:
    """The note is no longer true."""
    with suppress(OSError):
        os.unlink(os.path.join(state_folder(), note_of(path, kind)))
