"""A Dockerfile: its commands as shell, its base images by their own rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from porter.accounting.commented_text import mentions as mentions
from porter.accounting.commented_text import reasons
from porter.commenting import DOCKERFILE
from porter.docker_instructions import Dockerfile
from porter.documents.completed import completed
from porter.documents.document import CannotPort, PortedBytes, byte_order_mark, decode, written
from porter.documents.shell import ported_shell
from porter.port import Language, Plan, port_text


def port(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Raises CannotPort."""
    text = decode(data, byte_order_mark(data))
    try:
        shell = ported_shell(Dockerfile(text).shell, plan, name, replace(DOCKERFILE, original=text))
        images = port_text(text, plan, Language("dockerfile", Dockerfile, _parts, commenting=DOCKERFILE))
    except RecursionError:
        raise CannotPort("it nests too deeply to be ported") from None
    findings = sorted([*shell.findings, *images.findings], key=lambda one: (one.line, one.column))
    both = replace(shell, findings=findings, left_out=(*shell.left_out, *images.left_out))
    return written(data, text, completed(text, both, plan, DOCKERFILE, reasons))


def _parts(source: Dockerfile, words: frozenset[bytes]) -> Iterator[Any]:
    yield from source.images
