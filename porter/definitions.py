"""Classes of the ported files that have a `cuda` of their own, which a call in another file may mean.

class Batch:
    def cuda(self): ...
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator

from porter.files import read_file
from porter.places import label_of
from porter.unit import Unit
from porter.uses import made_by

_DEFINES = re.compile(rb"^[ \t]+def[ \t]+(?:cuda|is_cuda|npu|is_npu)[ \t]*\(", re.MULTILINE)
_METHODS = frozenset({"cuda", "is_cuda", "npu", "is_npu"})


def classes_with_their_own(path: str) -> list[str]:
    """The names of the classes in a file that define such a method. What cannot be read defines none."""
    try:
        data, _ = read_file(path)
    except OSError:
        return []
    return sorted(set(_classes(data))) if _DEFINES.search(data) else []


def class_meant(receiver: ast.expr, unit: Unit) -> str | None:
    """Which of those classes an object is of: by the call that makes it, or by its name, `batch` for a `Batch`."""
    if not unit.classes:
        return None
    maker = made_by(receiver, unit)
    if maker is not None:
        name = label_of(maker)
        return name if name in unit.classes else None
    label = label_of(receiver).replace("_", "").lower()
    return next((name for name in sorted(unit.classes) if name.replace("_", "").lower() == label), None)


def _classes(data: bytes) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(data)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(
            isinstance(one, ast.FunctionDef) and one.name in _METHODS for one in node.body
        ):
            yield node.name
