"""What verify needs of this environment, said before anything is run."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from importlib.util import find_spec

from porter.verify.scripts import Script
from porter.verify.trial_process import CannotStart


def check_torch() -> None:
    """Raises CannotStart where there is no torch to run scripts with."""
    if find_spec("torch") is None:
        raise CannotStart(
            "verify runs the scripts, which needs torch: install it, and the libraries that they use, into this "
            "environment (pip install '.[pipeline]' in a clone of diffsynth-port installs its pipelines too)"
        )


def check_bash(scripts: Iterable[Script]) -> None:
    """Raises CannotStart where there are launch scripts, and no bash to run them."""
    if any(script.processes is not None and script.skipped is None for script in scripts) and not shutil.which("bash"):
        raise CannotStart("launch scripts are run by bash, which is not here: install it, or name .py scripts alone")
