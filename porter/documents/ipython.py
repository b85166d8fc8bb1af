"""What IPython adds to Python, overwritten so that a parser reads the rest of the cell, or bash what is shell in it.

                                    as_python                       as_shell
    %matplotlib inline          ->  0#################
    files = !ls *.png           ->  files = 0#########              ->           ls *.png
    %timeit -n 10 f(x)          ->  0           ; f(x)
    torch.cuda?                 ->  0##########
    %env CUDA_VISIBLE_DEVICES=0 ->  0#######...                     ->       CUDA_VISIBLE_DEVICES=0

Every character stands for one, and line endings stay, so that places in one text are places in the other.
"""

from __future__ import annotations

import re
import warnings

from porter.syntax_tree import syntax_tree

#: Cell magics whose cell is Python all the same.
_PYTHON_CELLS = frozenset("time timeit capture prun memit mprun lprun debug python python3 pypy".split())

_CELL_MAGIC = re.compile(r"\s*%%(?P<name>\w+)(?P<arguments>[^\r\n]*)")
_TO_THE_END = r"(?:[^\\\r\n]|\\(?:\r\n|[\s\S])?)*"
_ESCAPED = re.compile(
    rf"""[ \t]* (?: (?P<line> [%!?,;/] {_TO_THE_END})
                  | [\w.,:*()\[\]'" \t]+ = [ \t]* (?P<value> (?: ! | %[A-Za-z_]) {_TO_THE_END})
                  | (?P<help> [^\#'"\r\n]* \?) [ \t]* (?=[\r\n]|\Z) )""",
    re.VERBOSE,
)

#: Line magics that are followed by Python, with their options.
_BEFORE_PYTHON = re.compile(r"%%?(?:time|timeit|prun|memit)(?:[ \t]+-\w+(?:[ \t]+\d+)?)*[ \t]+")

_TOKEN = re.compile(
    r"""\#[^\r\n]*
    | \"{3} [^"\\]* (?: (?: \\. | "(?!"") ) [^"\\]* )* \"{3}
    | '{3} [^'\\]* (?: (?: \\. | '(?!'') ) [^'\\]* )* '{3}
    | " [^"\\\r\n]* (?: \\. [^"\\\r\n]* )* "
    | ' [^'\\\r\n]* (?: \\. [^'\\\r\n]* )* '
    | \\ (?: \r\n | . )
    | (?P<bracket> [()\[\]{}] )
    | (?P<newline> \r\n | \r | \n )
    | [^\#"'\\()\[\]{}\r\n]+
    | .""",
    re.VERBOSE | re.DOTALL,
)


def as_python(cell: str) -> str | None:
    """The source of a code cell as far as it is Python; None for a cell whose magic makes it something else."""
    magic = _CELL_MAGIC.match(cell)
    if magic and not _keeps_python(magic):
        return None
    if not re.search(r"[%!?,;/]", cell):
        return cell
    pieces: list[str] = []
    at = 0
    while at < len(cell):
        escaped = _ESCAPED.match(cell, at)
        end = escaped.end() if escaped else _end_of_statement(cell, at)
        pieces.append(_overwritten(escaped) if escaped else cell[at:end])
        at = end
    return "".join(pieces)


def _keeps_python(magic: re.Match[str]) -> bool:
    if magic["name"] in ("writefile", "file"):
        return magic["arguments"].rstrip("'\" \t").endswith(".py")
    return magic["name"] in _PYTHON_CELLS


def _overwritten(escaped: re.Match[str]) -> str:
    kind = escaped.lastgroup or ""
    start = escaped.start(kind)
    magic = _BEFORE_PYTHON.match(escaped[kind])
    if magic and _parses(code := escaped[kind][magic.end() :]):
        blank = " " * len(magic[0])
        new = blank + code if kind == "value" else f"0{blank[2:]};{code}"
    else:
        new = "0" + re.sub(r"[^\r\n]", "#", escaped[kind][1:])
    return escaped.string[escaped.start() : start] + new + escaped.string[escaped.end(kind) : escaped.end()]


def _parses(code: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return bool(syntax_tree(code).body)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False


def _end_of_statement(cell: str, start: int) -> int:
    """Where the logical line that begins at `start` is over, its newline included."""
    depth = 0
    for token in _TOKEN.finditer(cell, start):
        if bracket := token["bracket"]:
            depth = max(depth + (1 if bracket in "([{" else -1), 0)
        elif token["newline"] and not depth:
            return token.end()
    return len(cell)


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
