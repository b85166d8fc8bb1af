"""A Python file: one unit, in the encoding that its coding cookie names.

# -*- coding: gbk -*-
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from porter.documents.document import (
    UTF_8,
    CannotPort,
    PortedBytes,
    byte_order_mark,
    decode,
    encode,
    port_unit,
    with_edits,
)
from porter.port import Plan

if TYPE_CHECKING:
    from porter.accounting.mentions import Place, Reason

_TWO_LINES = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)?[^\r\n]*")
_NAME = re.compile(rb"coding[:=]\s*([-\w.]*)")


def port(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Raises CannotPort."""
    mark = byte_order_mark(data)
    encoding = encoding_of(data[len(mark) :], marked=bool(mark))
    text = decode(data, mark, encoding)
    if encoding != UTF_8 and "coding" not in text:
        raise CannotPort(f"its coding cookie says {encoding}, in which there is no such cookie; save it as UTF-8")
    ported = port_unit(text, plan)
    new = data if ported.text == text else mark + encode(ported.text, encoding)
    return PortedBytes(new, tuple(with_edits(text, ported)), ported.left_out)


def mentions(text: str) -> Iterator[tuple[Place, Reason | None]]:
    """The lines that name CUDA."""
    from porter.accounting.python_source import mentions

    return mentions(text)


def encoding_of(data: bytes, marked: bool = False) -> str:
    """What the coding cookie in one of the first two lines says, or UTF-8.

    `marked` says that the byte order mark of UTF-8 stood before `data`. Raises CannotPort if the cookie says
    otherwise, or names no encoding.
    """
    head = _TWO_LINES.match(data)[0]  # type: ignore[index]
    if b"coding" not in head:
        return UTF_8
    encoding = _named_in(head)
    if marked and encoding != UTF_8:
        raise CannotPort(f"it has the byte order mark of UTF-8, but its coding cookie says {encoding}", _line(head))
    return encoding


def _named_in(head: bytes) -> str:
    """The encoding's usual name. tokenize looks for the cookie as Python does, if every line ends in a newline."""
    from io import BytesIO
    from tokenize import detect_encoding

    lines = re.sub(rb"[\x80-\xff]", b"?", head).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        return codecs.lookup(detect_encoding(BytesIO(lines).readline)[0]).name
    except SyntaxError:
        name = _NAME.search(lines)[1].decode("ascii")  # type: ignore[index]
        raise CannotPort(f"its coding cookie names {name!r}, which is no encoding", _line(head)) from None


def _line(head: bytes) -> int:
    return 1 if b"coding" in re.split(rb"\r|\n", head)[0] else 2
