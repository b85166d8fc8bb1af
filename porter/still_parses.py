"""Whether what a file parses as survives a change to it: asked where a file that is undone was edited since."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable

from porter.kinds import kind_of
from porter.syntax_tree import syntax_tree


def still_parses(path: str, before: bytes, after: bytes) -> bool:
    """Whether all that Python can read of a file before, it can read after: a script, the cells of a notebook, JSON."""
    parse = json.loads if path.lower().endswith(".json") else _parse_python
    parts = zip(_parts(path, before), _parts(path, after), strict=False)
    return all(old == new or not _parses(parse, old) or _parses(parse, new) for old, new in parts)


def _parts(path: str, data: bytes) -> Iterable[bytes | str]:
    kind = kind_of(path, data)
    if kind == "notebook":
        from porter.documents.notebook import python_of

        return python_of(data)
    return [data] if kind == "python" or path.lower().endswith(".json") else []


def _parse_python(source: bytes | str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        syntax_tree(source)


def _parses(parse: Callable[[bytes | str], object], source: bytes | str) -> bool:
    try:
        parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
