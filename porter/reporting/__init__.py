"""How the outcome of a run is told: one format a file, each a pure function of the reports and the run's context."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from porter.findings import FileReport

if TYPE_CHECKING:
    from porter.reporting.context import RunContext

#: Each is a module of this package with a function `render(reports, context)`.
FORMATS = ("text", "json", "sarif", "github", "gitlab", "junit")


def render(format: str, reports: Sequence[FileReport], context: RunContext) -> str:
    """The reports in one of FORMATS, without a newline at the end; empty where there is nothing to say."""
    rendered: str = import_module(f"porter.reporting.{format}").render(reports, context)
    return rendered
