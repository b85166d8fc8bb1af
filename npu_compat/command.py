"""Whether this process is ``python -m npu_compat``, which never redirects by itself."""

from __future__ import annotations

import importlib.util
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


def end_without_torch() -> None:
    """Ends ``python -m npu_compat`` in one line where torch is not installed, as in the base install.

    Raises:
        SystemExit: there is no torch.
    """
    if importlib.util.find_spec("torch") is None:
        python = sys.executable
        print(f"npu_compat: torch is not installed for {python}: {python} -m pip install torch", file=sys.stderr)
        raise SystemExit(2)
