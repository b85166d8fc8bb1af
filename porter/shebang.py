"""What a shell script is known by: its ending, or a first line `#!/bin/bash`, `#!/usr/bin/env -S sh -e`."""

from __future__ import annotations

import os
import re

_SHELL = re.compile(rb"#![^\r\n]*[/ \t](?:ba|da)?sh(?=[ \t\r\n]|\Z)")

ENDINGS = (".sh", ".bash")

#: As much of a file as a first line may take.
_LONGEST = 200


def names_a_shell(beginning: bytes) -> bool:
    """Whether a file that begins so is a shell script."""
    return _SHELL.match(beginning) is not None


def is_shell_script(path: str) -> bool:
    """Whether the file ends as shell scripts do, or has no ending and begins as they do."""
    name = os.path.basename(path)
    if name.lower().endswith(ENDINGS):
        return True
    try:
        with open(path, "rb") as file:
            return "." not in name and names_a_shell(file.read(_LONGEST))
    except OSError:
        return False
