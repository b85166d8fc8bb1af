"""A Dockerfile: its commands as shell, its base images by their own rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from porter.accounting.commented_text import mentions as mentions
from porter.accounting.commented_text import reasons
from porter.changes import apply
from porter.docker_instructions import Dockerfile
from porter.documents.document import CannotPort, PortedBytes, byte_order_mark, decode, encode, with_edits
from porter.documents.shell import port_shell
from porter.port import Language, Plan, port_text
from porter.rules.named_line import RULE, left_lines


def port(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Raises CannotPort."""
    mark = byte_order_mark(data)
    text = decode(data, mark)
    try:
        shell = port_shell(Dockerfile(text).shell, plan, name)
        images = port_text(text, plan, Language("dockerfile", Dockerfile, _parts))
    except RecursionError:
        raise CannotPort("it nests too deeply to be ported") from None
    own = [one for one in with_edits(text, shell) if one.code != RULE.code]
    findings = sorted([*own, *images.findings], key=lambda one: (one.line, one.column))
    findings += list(left_lines(text, reasons, findings, plan))
    return PortedBytes(mark + encode(apply(text, shell.changes)) if shell.changes else data, tuple(findings))


def _parts(source: Dockerfile, words: frozenset[bytes]) -> Iterator[Any]:
    yield from source.images
