"""Bytes to text, the text ported, and back to bytes: what every kind of document has in common.

A byte order mark is no part of the text; line endings are, as they stand. What does not come back as it was is refused,
and every refusal is CannotPort.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from porter.accounting.mentions import is_named
from porter.changes import Change, apply, located_in, within_lines
from porter.documents.completed import completed
from porter.findings import Finding, Replacement
from porter.port import PYTHON, Language, Plan, Ported, calls_for_nothing, port_text
from porter.rules.named_line import Reasons
from porter.source import CannotParse


class CannotPort(Exception):
    """A document cannot be read or written: the message is one sentence, `line` where in the file (None: nowhere)."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class PortedBytes:
    """The bytes as they shall be, and the findings in the bytes as they were; `left_out` are those that comments ask to
    leave out."""

    data: bytes
    findings: tuple[Finding, ...] = ()
    left_out: tuple[Finding, ...] = ()


def port_unit(text: str, plan: Plan) -> Ported:
    """What there is to say of a unit of Python. Every refusal is CannotPort."""
    try:
        return completed(text, port_text(text, plan), plan, PYTHON.commenting)
    except CannotParse as error:
        raise CannotPort(str(error), error.line) from None
    except RecursionError:
        raise CannotPort("an expression or statement nests too deeply to be ported") from None
    except UnicodeEncodeError:
        raise CannotPort("it holds half of a surrogate pair, which is no character") from None


def with_edits(text: str, ported: Ported) -> list[Finding]:
    """The findings, each with its edits where the plan asked for them; `text` is what the changes count in."""
    if not ported.edits:
        return ported.findings
    edits = {finding: located(text, changes) for finding, changes in ported.edits.items()}
    return [one._replace(edits=edits.get(one, ())) for one in ported.findings]


def located(text: str, changes: Iterable[Change]) -> tuple[Replacement, ...]:
    """The changes by line and column, each as small as it can be."""
    found = list(within_lines(text, changes))
    places = located_in(text, (at for one in found for at in (one.start, one.end)))
    pairs = zip(found, places[::2], places[1::2], strict=True)
    return tuple(Replacement(*start, *end, one.new) for one, start, end in pairs)


UTF_8 = "utf-8"

_NEWLINE = re.compile(rb"\r\n|\r|\n")
_OTHER_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def byte_order_mark(data: bytes) -> bytes:
    """The mark of UTF-8 at the beginning of the data, or nothing. Raises CannotPort for that of another encoding."""
    for mark, name in _OTHER_MARKS:
        if data.startswith(mark):
            raise _not_utf_8(name)
    return codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""


def decode(data: bytes, mark: bytes, encoding: str = UTF_8) -> str:
    """What comes after the mark. Raises CannotPort for bytes that the encoding gives no meaning, or more than one."""
    _refuse_nul(data)
    content = data[len(mark) :]
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        at = len(mark) + error.start
        line = line_of(data, at)
        byte = f"byte 0x{data[at]:02x} at offset {at} (line {line})"
        raise CannotPort(f"{byte} is not {encoding.upper()}; save the file as UTF-8", line) from None
    except (LookupError, ValueError):  # a codec that is not for text
        raise CannotPort(f"it cannot be read as {encoding}; save it as UTF-8") from None
    if encoding != UTF_8:  # where every text has one form only
        encode(text, encoding, content)
    return text


def encode(text: str, encoding: str = UTF_8, expected: bytes | None = None) -> bytes:
    """Raises CannotPort for text that the encoding has no bytes for, or that comes back as something else."""
    try:
        data = text.encode(encoding)
        exact = data.decode(encoding) == text if expected is None else data == expected
    except ValueError:
        exact = False
    if not exact:
        raise CannotPort(f"its text does not come back the same from {encoding}; save it as UTF-8")
    return data


def line_of(data: bytes, offset: int) -> int:
    """The line, from 1, that a byte is on."""
    return len(_NEWLINE.findall(data, 0, offset)) + 1


def _refuse_nul(data: bytes) -> None:
    at = data.find(b"\0")
    if at < 0:
        return
    if b"\0\0" in (data[0:4:2], data[1:4:2]) and data[:4].strip(b"\0"):
        raise _not_utf_8("UTF-32" if b"\0\0\0" in data[:4] else "UTF-16")
    line = line_of(data, at)
    raise CannotPort(f"it holds a NUL byte at offset {at} (line {line}), so it is no text", line)


def _not_utf_8(name: str) -> CannotPort:
    return CannotPort(f"it is in {name}; save it as UTF-8")


def port_document(data: bytes, plan: Plan, language: Language, reasons: Reasons | None = None) -> PortedBytes:
    """Raises CannotPort. Data without a word of the language's rules is not even decoded, but to see which of its lines
    name CUDA all the same: `reasons` tells why they do."""
    if calls_for_nothing(data, plan, language) and b"port:" not in data:
        return unread(data, plan, language, reasons)
    mark = byte_order_mark(data)
    text = decode(data, mark)
    try:
        ported = port_text(text, plan, language)
    except CannotParse as error:
        raise CannotPort(str(error), error.line) from None
    except RecursionError:
        raise CannotPort("it nests too deeply to be ported") from None
    return written(data, text, completed(text, ported, plan, language.commenting, reasons))


def unread(data: bytes, plan: Plan, language: Language, reasons: Reasons | None) -> PortedBytes:
    """What there is to say of a document that no rule has read."""
    if reasons is None or not is_named(data):
        return PortedBytes(data)
    text = data.decode("utf-8-sig", "replace")
    done = completed(text, Ported(text), plan, language.commenting, reasons)
    if "\ufffd" in text:  # then what is written might not come back as it was
        done = replace(done, changes=[])
    return written(data, text, done)


def written(data: bytes, text: str, ported: Ported) -> PortedBytes:
    """The document of a text, which it was without its byte order mark."""
    new = byte_order_mark(data) + encode(apply(text, ported.changes)) if ported.changes else data
    return PortedBytes(new, tuple(with_edits(text, ported)), ported.left_out)
