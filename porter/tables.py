"""The support tables: JSON that is installed beside the porter."""

from __future__ import annotations

import json
from pkgutil import get_data  # importlib.resources does the same, and takes longer to import than all rules together
from typing import Any


def read_table(name: str) -> Any:
    """The content of a file of `accelerator_tables`, by its path there."""
    return json.loads(get_data("accelerator_tables", name) or b"")
