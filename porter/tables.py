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
    return tuple(sorted(tables_in("targets"), key=lambda name: (name != USUAL, name)))


def tables_in(folder: str) -> list[str]:
    """The names of the tables in a folder of `accelerator_tables`, sorted."""
    import accelerator_tables

    found = (os.path.splitext(name) for name in os.listdir(os.path.join(accelerator_tables.__path__[0], folder)))
    return sorted(name for name, ending in found if ending == ".json")


def read_table(name: str) -> Any:
    """The content of a file of `accelerator_tables`, by its path there."""
    return json.loads(get_data("accelerator_tables", name) or b"")
