"""A Dockerfile: its commands as shell, its base images by their own rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from porter.accounting.commented_text import reasons
from porter.commenting import DOCKERFILE
from porter.dockerfile import Dockerfile
from porter.documents.completed import completed
from porter.documents.embedded_shell import ported_shell
from porter.documents.encoding import byte_order_mark, decode
from porter.documents.one_text import written
from porter.documents.ported import CannotPort, PortedBytes
from porter.port import Language, Plan, port_text


def port(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Raises CannotPort."""
    mark = byte_order_mark(data)
    text = decode(data, mark)
    commenting = replace(DOCKERFILE, original=text)
    try:
        shell = ported_shell(Dockerfile(text).shell, plan, name, commenting)
        images = port_text(text, plan, Language("dockerfile", Dockerfile, _parts, commenting=DOCKERFILE))
    except RecursionError:
        raise CannotPort("it nests too deeply to be ported") from None
    findings = sorted([*shell.findings, *images.findings], key=lambda one: (one.line, one.column))
    both = replace(shell, findings=findings, left_out=(*shell.left_out, *images.left_out))
    return written(data, text, completed(text, both, plan, DOCKERFILE, reasons))


def _parts(source: Dockerfile, words: frozenset[bytes]) -> Iterator[Any]:
    yield from source.images
