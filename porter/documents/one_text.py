"""A file that is one text of another language than Python: what all such documents have in common."""

from __future__ import annotations

from dataclasses import replace

from porter.accounting.mentions import is_named
from porter.changes import apply
from porter.documents.completed import completed
from porter.documents.encoding import byte_order_mark, decode, encode
from porter.documents.left_lines import Reasons
from porter.documents.ported import CannotPort, PortedBytes, with_edits
from porter.port import Language, Plan, Ported, calls_for_nothing, port_text
from porter.source import CannotParse


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
    return PortedBytes(new, tuple(with_edits(text, ported)))
