"""What verify needs of this environment, said before anything is run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path

from porter.verify.scripts import Script
from porter.verify.trial_process import CannotStart

_PACKAGES = ("accelerate", "peft")


def check_pipelines() -> None:
    """Raises CannotStart where torch or the pipelines are missing, or another project's diffsynth is found instead."""
    found = _diffsynth()
    if found is not None and not Path(str(found.origin)).with_name("trial").is_dir():
        folder = Path(str(found.origin)).parent
        raise CannotStart(
            f"the diffsynth in {folder} is another project's, and verify runs scripts on the pipelines of "
            "diffsynth-port: install them (pip install '.[pipeline]' in a clone) into an environment without it"
        )
    missing = [name for name, spec in (("torch", find_spec("torch")), ("the package diffsynth", found)) if spec is None]
    if missing:
        raise CannotStart(
            f"verify runs the scripts, which needs {' and '.join(missing)}: "
            "pip install '.[pipeline]' in a clone of diffsynth-port"
        )


def _diffsynth() -> ModuleSpec | None:
    """What `import diffsynth` finds in the processes that run the scripts: they look in the current folder first."""
    for spec in (PathFinder.find_spec("diffsynth", [os.getcwd()]), find_spec("diffsynth")):
        if spec is not None and spec.origin is not None:  # a mere folder of that name has none
            return spec
    return None


def check_launchers(scripts: Iterable[Script]) -> None:
    """Raises CannotStart where there are launch scripts, and they cannot be run here."""
    if not any(script.processes is not None and script.skipped is None for script in scripts):
        return
    if shutil.which("bash") is None:
        raise CannotStart("launch scripts are run by bash, which is not here: install it, or name .py scripts alone")
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        needed = "launch scripts train by accelerate and peft"
        raise CannotStart(
            f"{needed}; {missing[0]} is not installed: pip install '.[train]' in a clone of diffsynth-port"
        )
