"""What a document of any kind is tested by: a text before and after, and what is reported of it."""

from __future__ import annotations

from textwrap import dedent

from porter.documents import port_bytes
from porter.documents.document import PortedBytes
from porter.port import Plan


def ported(name: str, text: str, target: str = "npu") -> PortedBytes:
    return port_bytes(name, plain(text).encode(), Plan(target))


def check_transformed(name: str, before: str, after: str, target: str = "npu") -> None:
    """`before` becomes `after`, a second run changes nothing, and undoing gives `before` again."""
    first = ported(name, before, target)
    assert first.data.decode() == plain(after)
    assert ported(name, after, target).data.decode() == plain(after)
    assert reports(ported(name, after, target)) == reports(first)
    undone = port_bytes(name, first.data, Plan("cuda", source=target))
    assert undone.data.decode() == plain(before)


def check_reported(name: str, text: str, code: str, severity: str, line: int = 1, target: str = "npu") -> None:
    """The text stays as it is, and the rule says one thing of it."""
    result = ported(name, text, target)
    assert result.data.decode() == plain(text)
    assert [(one.severity, one.line) for one in result.findings if one.code == code] == [(severity, line)]


def check_silent(name: str, text: str, target: str = "npu") -> None:
    """The text stays as it is, and nothing is said of it."""
    result = ported(name, text, target)
    assert (result.data.decode(), result.findings) == (plain(text), ())


def reports(result: PortedBytes) -> list[tuple[str, str, str, int]]:
    return [(one.code, one.severity, one.message, one.line) for one in result.findings if not one.is_fix]


def plain(text: str) -> str:
    return dedent(text).removeprefix("\n")
