"""Whether this process is the one that prints and saves: always, except on the other ranks of one shared generation."""

from __future__ import annotations

import warnings

_main = True


def is_main_rank() -> bool:
    """False where another process shows and saves the same result."""
    return _main


def leave_it_to_the_main_rank() -> None:
    """From now on this process shows no progress, no warnings, and saves nothing; errors it does raise."""
    global _main
    _main = False
    warnings.simplefilter("ignore")
