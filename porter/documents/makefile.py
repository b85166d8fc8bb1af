"""A Makefile: its recipes, and what it sets, as one shell script.

DEVICE ?= cuda                          DEVICE=cuda
run:                             ->
\t@python a.py --device $(DEVICE)       python a.py --device ${DEVICE}
"""

from __future__ import annotations

import re

from porter.accounting.commented_text import mentions as mentions
from porter.accounting.commented_text import reasons
from porter.commenting import MAKEFILE
from porter.documents.completed import completed
from porter.documents.composed import ComposedScript, port_composed
from porter.documents.document import PortedBytes, byte_order_mark, decode, written
from porter.port import Plan, Ported
from porter.shell.recipes import RECIPE, in_bash

#: A variable of make, for all targets or for some, with the value that bash would read the same.
_SET = re.compile(
    r"""^(?![ \t]*\#) (?:[^\t\n\#=:]+:(?!=)[ ]*)? [ ]* (?:(?:export|override|private)[ \t]+)*
        (?P<name>[A-Za-z_]\w*) [ \t]* (?:::?:?|\?|\+)?= [ \t]*
        (?P<value>[^\n\r\#]*?) [ \t]* (?:\#[^\n]*)? \r?$""",
    re.MULTILINE | re.VERBOSE,
)
#: Where one is asked for, or handed on.
_NAMED = re.compile(
    r"\$[({](?P<name>\w+)[)}] | ^[ ]*(?:ifn?def|(?:un)?export)[ \t]+(?P<alone>\w+)[ \t]*\r?$", re.MULTILINE | re.VERBOSE
)
_PLAIN = re.compile(r"[^\s;&|<>$()\"'`\\#]*")


def port(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Raises CannotPort."""
    text = decode(data, byte_order_mark(data))
    ported = port_composed(_script(text), plan, name, MAKEFILE, Ported(text))
    return written(data, text, completed(text, ported, plan, MAKEFILE, reasons))


def _script(text: str) -> ComposedScript:
    script = ComposedScript(text)
    recipes = list(RECIPE.finditer(text))
    within = [(found.start(), found.end()) for found in recipes]
    others = (
        found
        for pattern in (_SET, _NAMED)
        for found in pattern.finditer(text)
        if not any(start <= found.start() < end for start, end in within)
    )
    for found in sorted((*recipes, *others), key=re.Match.start):
        if found.re is RECIPE:
            script.add(in_bash(found["command"]), found.start("command"))
        elif found.re is _SET:
            _set(script, found)
        else:
            script.add(": ${")
            script.add(found["name"] or found["alone"], found.start("name" if found["name"] else "alone"))
            script.add("}")
        script.add("\n")
    return script


def _set(script: ComposedScript, variable: re.Match[str]) -> None:
    script.add(variable["name"], variable.start("name"))
    script.add("=")
    if _PLAIN.fullmatch(variable["value"]):
        script.add(variable["value"], variable.start("value"))
    else:
        script.add("${_}")
