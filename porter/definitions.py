"""What the ported files define that other files may mean: classes with a `cuda` of their own, flags for both devices.

class Batch:                              IS_CUDA = torch.cuda.is_available()
    def cuda(self): ...                   IS_NPU = torch.npu.is_available()
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator

from porter.files import read_file
from porter.places import label_of
from porter.syntax_tree import syntax_tree
from porter.targets import TARGETS
from porter.unit import Unit
from porter.uses import made_by

_DEFINES = re.compile(rb"def[ \t]+(?:cuda|is_cuda|npu|is_npu)[ \t]*\(")
#: Flags and functions that ask for CUDA, by their names.
_ASKS = re.compile(rb"^(?:def[ \t]+)?_*(?:is|has|use|IS|HAS|USE)_(?:cuda|CUDA)\w*[ \t]*[=:(]", re.MULTILINE)
_CUDA = re.compile(r"cuda|CUDA")
#: What there is where one of the two is: nearly every file is done with by these.
_HINTS = (b"cuda", b"CUDA", b" npu", b"\tnpu", b"is_npu")

_METHODS = frozenset({"cuda", "is_cuda", "npu", "is_npu"})


def defined_in(path: str) -> list[str]:
    """The classes in a file that define such a method, `Batch`, and its flags, `npu:IS_CUDA`.

    A flag counts where the file has one of the same name for the accelerator: another file that imports the one for
    CUDA belongs to a program that supports both. What cannot be read defines nothing.
    """
    try:
        data, _ = read_file(path)
    except OSError:
        return []
    if not any(map(data.__contains__, _HINTS)):
        return []
    classes = set(_classes(data)) if _DEFINES.search(data) else set()
    return sorted(classes.union(_flags(data) if _names_a_flag(data) else ()))


def _names_a_flag(data: bytes) -> bool:
    return (b"_cuda" in data or b"_CUDA" in data) and _ASKS.search(data) is not None


def _flags(data: bytes) -> Iterator[str]:
    defined = set(_defined(data))
    for name in filter(_CUDA.search, defined):
        yield from (f"{target}:{name}" for target in TARGETS if _called_after(target, name) in defined)


def _called_after(target: str, name: str) -> str:
    return _CUDA.sub(lambda found: target.upper() if found[0].isupper() else target, name)


def _defined(data: bytes) -> Iterator[str]:
    """The names that a module gives to functions and values."""
    tree = _tree(data)
    for node in tree.body if tree is not None else ():
        match node:
            case ast.FunctionDef(name=name):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name


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


def _tree(data: bytes) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return syntax_tree(data)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _classes(data: bytes) -> Iterator[str]:
    tree = _tree(data)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.ClassDef) and any(
            isinstance(one, ast.FunctionDef) and one.name in _METHODS for one in node.body
        ):
            yield node.name
