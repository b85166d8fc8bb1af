"""The shell commands of a notebook's cell, overwritten so that bash can read them and nothing else.

    !nvidia-smi                        ->   nvidia-smi
    %env CUDA_VISIBLE_DEVICES=0        ->       CUDA_VISIBLE_DEVICES=0
    %set_env CUDA_VISIBLE_DEVICES 0    ->           CUDA_VISIBLE_DEVICES=0
    files = !ls data                   ->           ls data

Every character stands for one, so that places in one text are places in the other.
"""

from __future__ import annotations

import re

#: Cell magics whose cell is a shell script.
_CELL = re.compile(r"\s*%%(?:bash|sh|script[ \t]+(?:ba)?sh|!)[^\r\n]*")
_OTHER_CELL = re.compile(r"\s*%%\w+")
_LINE = re.compile(
    r"""^(?P<before> [ \t]* (?: [\w., \t]+ = [ \t]* )? ) (?P<mark> !{1,2} | %(?:set_)?env[ \t]+ | %(?:sx|system)[ \t]+ )
        (?P<command> (?: [^\\\r\n] | \\(?:\r\n|[\s\S])? )* )""",
    re.VERBOSE | re.MULTILINE,
)


def as_shell(cell: str) -> str | None:
    """The source of a code cell as far as it is shell; None where nothing is."""
    if whole := _CELL.match(cell):
        return _blank(whole[0]) + cell[whole.end() :]
    python = _OTHER_CELL.match(cell)
    pieces: list[str] = []
    at = 0
    for found in _LINE.finditer(cell) if python is None else ():
        pieces += _blank(cell[at : found.start("command")]), _command(found)
        at = found.end()
    return "".join([*pieces, _blank(cell[at:])]) if pieces else None


def _command(line: re.Match[str]) -> str:
    if not line["mark"].startswith(("%env", "%set_env")):
        return line["command"]
    return re.sub(r"^(\w+) (?=\S)", r"\1=", line["command"])


def _blank(text: str) -> str:
    return re.sub(r"[^\r\n]", " ", text)
