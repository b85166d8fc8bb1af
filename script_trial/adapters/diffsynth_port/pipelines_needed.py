"""What is said where the pipelines, or what they rest on, are not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def pipelines_needed(command: str) -> Iterator[None]:
    """Around the imports of a command. Raises click.UsageError where a package is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or str(error)).partition(".")[0]
        if missing == __name__.partition(".")[0]:
            raise
        raise click.UsageError(
            f"{command} needs the pipelines, and {missing} is not installed here: "
            "pip install '.[pipeline]' in a clone of diffsynth-port"
        ) from None
