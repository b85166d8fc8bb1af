"""What every kind of document gives, and how it has its units ported."""

from __future__ import annotations

from dataclasses import dataclass

from porter.findings import Finding
from porter.port import Plan, Ported, port_text
from porter.source import CannotParse


class CannotPort(Exception):
    """A document cannot be read or written: the message is one sentence, `line` where in the file (None: nowhere)."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class PortedBytes:
    """The bytes as they shall be, and the findings in the bytes as they were."""

    data: bytes
    findings: tuple[Finding, ...] = ()


def port_unit(text: str, plan: Plan) -> Ported:
    """porter.port.port_text, whose every refusal is CannotPort."""
    try:
        return port_text(text, plan)
    except CannotParse as error:
        raise CannotPort(str(error), error.line) from None
    except RecursionError:
        raise CannotPort("an expression or statement nests too deeply to be ported") from None
    except UnicodeEncodeError:
        raise CannotPort("it holds half of a surrogate pair, which is no character") from None
