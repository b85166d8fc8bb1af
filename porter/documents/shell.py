"""A shell script: one unit, in UTF-8. One without a word of the rules is passed over, whatever its encoding."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

from porter.accounting.commented_text import reasons
from porter.documents.encoding import byte_order_mark, decode
from porter.documents.one_text import port_document
from porter.documents.ported import CannotPort, PortedBytes
from porter.paths import relative_to
from porter.port import Language, Plan
from porter.shell.both_branches import sifted
from porter.shell.own_folder import CannotMove, moved
from porter.shell.script import ShellScript
from porter.source import CannotParse


def port(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Raises CannotPort. `name` is the file's path: scripts that it launches are looked for from there."""
    return port_document(data, plan, Language("shell", partial(ShellScript, path=name), parts, sift=sifted), reasons)


def trains(name: str, data: bytes) -> bool:
    """Whether a shell script launches a training."""
    try:
        return bool(ShellScript(decode(data, byte_order_mark(data)), name).trainings)
    except (CannotPort, CannotParse):
        return False


def moved_to(target: str, name: str, data: bytes) -> bytes:
    """The script `name` as it has to be in the file `target`, where its own folder is another. Raises CannotPort."""
    mark = byte_order_mark(data)
    way_back = relative_to(os.path.dirname(target) or ".", os.path.dirname(name) or ".")
    try:
        return mark + moved(ShellScript(decode(data, mark), name), way_back)
    except CannotMove as error:
        advice = 'go there by cd "$(dirname "$0")" first, and name files from there'
        raise CannotPort(f"it asks for its own folder, which is another one for {target}: {error}; {advice}") from None


def parts(script: ShellScript, words: frozenset[bytes]) -> Iterator[Any]:
    """What rules look at."""
    yield script
    yield from script.commands
    yield from script.launches
