"""A source in C++ or CUDA C++, in whatever encoding: it is counted, and not ported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from porter.accounting.commented_text import all_for
from porter.accounting.mentions import Place, Reason, is_named
from porter.commenting import CPP
from porter.documents.completed import completed
from porter.documents.document import PortedBytes, written
from porter.port import Language, Plan, port_text
from porter.text_unit import Lines


def port(name: str, data: bytes, plan: Plan) -> PortedBytes:
    if plan.undoes or not (is_named(data) or b"__global__" in data):
        return PortedBytes(data)
    text = data.decode("utf-8", "replace")
    ported = port_text(text, plan, Language("cpp", Lines, _parts, commenting=CPP))
    done = completed(text, ported, plan, CPP)
    return written(data, text, done if text.encode() == data else replace(done, changes=[]))


def _parts(source: Lines, words: frozenset[bytes]) -> Iterator[Any]:
    yield source


def mentions(text: str) -> Iterator[tuple[Place, Reason | None]]:
    """The lines that name CUDA: the source is counted as a whole."""
    return ((Place(0, line), reason) for line, reason in all_for(text, Reason.ANOTHER_ENGINE))
