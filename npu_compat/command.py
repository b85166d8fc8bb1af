"""Whether this process is ``python -m npu_compat``, which never redirects by itself."""

from __future__ import annotations

import sys


def command() -> str | None:
    """What follows ``-m npu_compat``, such as ``run``, while Python looks for that module; None otherwise."""
    if sys.argv[:1] != ["-m"]:
        return None
    # sys.argv holds "-m" and what follows the module's name; sys.orig_argv holds the whole command line.
    place = len(sys.orig_argv) - len(sys.argv)
    module = sys.orig_argv[place].removeprefix("-m")
    if module.partition(".")[0] != "npu_compat":
        return None
    return sys.argv[1] if len(sys.argv) > 1 else ""
