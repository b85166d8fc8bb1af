"""A shell script: one unit, in UTF-8. One without a word of the rules is passed over, whatever its encoding."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

from porter.documents.base import CannotPort, PortedBytes
from porter.documents.encoding import byte_order_mark, decode
from porter.documents.lines import port_document
from porter.paths import relative_to
from porter.port import Plan
from porter.port_lines import Language
from porter.shell.added_export import EXPORTS, added_names, note
from porter.shell.device_value import device_values
from porter.shell.flag import is_about
from porter.shell.own_folder import CannotMove, moved
from porter.shell.script import ShellScript
from porter.source import CannotParse
from porter.targets import Translation
from porter.text_unit import kept, renamed


def port(name: str, data: bytes, plan: Plan, added: frozenset[str] = frozenset()) -> PortedBytes:
    """Raises CannotPort. `name` is the file's path: scripts that it launches are looked for from there."""
    language = Language("shell", partial(ShellScript, path=name), _parts, _notes)
    return port_document(data, plan, language, added)


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


def _parts(script: ShellScript) -> Iterator[Any]:
    yield script
    yield from script.commands
    yield from script.launches


def _notes(script: ShellScript, wanted: Translation, added: frozenset[str]) -> frozenset[str]:
    """What the script names without a port, and the notes of earlier ports, unless it shows no trace of them."""
    there = {name for name in wanted.environment.values() if script.has_variable(name)}
    there |= {value.old for value in device_values(script, wanted.new)}
    exported = {note(name) for node in script.root.named_children for name in added_names(node, added)}
    exports = exported and exported == added & set(map(note, EXPORTS))
    flags = {name for launch in script.launches for name, _ in launch.named_arguments()}
    still = added if there or exports or any(is_about(one, flags) for one in added) else frozenset()
    return still | {kept(name) for name in there if renamed(name) not in added}
