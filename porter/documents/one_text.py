"""A file that is one text of another language than Python: what all such documents have in common."""

from __future__ import annotations

from porter.documents.encoding import byte_order_mark, decode, encode
from porter.documents.ported import CannotPort, PortedBytes, with_edits
from porter.port import Language, Plan, calls_for_nothing, port_text
from porter.source import CannotParse


def port_document(data: bytes, plan: Plan, language: Language) -> PortedBytes:
    """Raises CannotPort. Data without a word of the language's rules is not even decoded."""
    if calls_for_nothing(data, plan, language):
        return PortedBytes(data)
    mark = byte_order_mark(data)
    text = decode(data, mark)
    try:
        ported = port_text(text, plan, language)
    except CannotParse as error:
        raise CannotPort(str(error), error.line) from None
    except RecursionError:
        raise CannotPort("it nests too deeply to be ported") from None
    new = mark + encode(ported.text) if ported.changes else data
    return PortedBytes(new, tuple(with_edits(text, ported)))
