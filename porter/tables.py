"""The support tables: JSON that is installed beside the porter."""

from __future__ import annotations

import json
import os
from pkgutil import get_data  # importlib.resources does the same, and takes longer to import than all rules together
from typing import Any

#: Whose words are undone where there is no record of a port and none is named.
USUAL = "npu"


def target_names() -> tuple[str, ...]:
    """The accelerators that there is a table for: every JSON file of `targets`, the usual one first."""
    import accelerator_tables

    folder = os.path.join(accelerator_tables.__path__[0], "targets")
    found = (os.path.splitext(name) for name in os.listdir(folder))
    return tuple(sorted((name for name, ending in found if ending == ".json"), key=lambda name: (name != USUAL, name)))


def read_table(name: str) -> Any:
    """The content of a file of `accelerator_tables`, by its path there."""
    return json.loads(get_data("accelerator_tables", name) or b"")
