"""How much code of `diffsynth/` there is, and how much of it the examples run that an earlier checkout has too.

    python -m benchmarks.code_size CHECKOUT_OF_BEFORE [PATHS...]

Both checkouts verify their own form of those examples (`diffsynth-port verify`), every way and in every process, and
each first run of a line is noted. For either it prints the modules, the lines, the lines of code (without blank lines,
comments and docstrings) and the statements: of the whole folder; of what those examples run in its functions; of what
runs in the examples' own programs, `train.py` among them; and of these two together. What only other models need is no
part of what is run; neither is what the folder runs at import, since a trial imports all families before it forks. A
program is its file, run from the top in each way that leaves it unedited; its ported form is the same program again,
and is not counted. PATHS are examples (default: all).
"""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
import tempfile
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from benchmarks.verify_time import common_examples, rows, verdict

HERE = Path(__file__).parents[1]

#: What Python imports as it starts: notes each line of the library and of examples that runs, once a process.
NOTES_LINES = """
import functools, os, pathlib, sys, threading
from io import FileIO
from os import close, open, write  # as they are now: a trial may replace them

FOLDER, NOTES, seen = os.environ["CODE_SIZE_FOLDER"], os.environ["CODE_SIZE_NOTES"], set()
EXAMPLES = {path.read_bytes(): str(path) for path in pathlib.Path(os.environ["CODE_SIZE_EXAMPLES"]).rglob("*.py")}
NAMES = {os.path.basename(path) for path in EXAMPLES.values()}

@functools.cache
def counted_as(path):  # a trial runs a copy of an example
    if path.startswith(FOLDER):
        return path
    if os.path.basename(path) in NAMES:
        with FileIO(path) as copy:
            return EXAMPLES.get(copy.read())

def line(frame, event, argument):
    place = counted_as(frame.f_code.co_filename), frame.f_lineno
    if event == "line" and place not in seen:
        seen.add(place)
        notes = open(NOTES, os.O_WRONLY | os.O_APPEND | os.O_CREAT)  # whatever a process closes meanwhile
        write(notes, f"{place[0]}:{place[1]}\\n".encode())
        close(notes)
    return line

def call(frame, event, argument):
    return line if counted_as(frame.f_code.co_filename) else None

threading.settrace(call)
sys.settrace(call)
"""

#: Tokens that make no line of code.
_THIN = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


@dataclass(frozen=True)
class Size:
    modules: int = 0
    lines: int = 0
    code: int = 0
    statements: int = 0

    def __add__(self, other: Size) -> Size:
        return Size(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


def sizes(module: Path, ran: set[int], *, is_program: bool = False) -> tuple[Size, Size]:
    """Of a module as a whole, and of the statements that ran: of a program all, of another those in functions."""
    text = module.read_text("utf-8")
    tree = ast.parse(text)
    code = _lines_of_code(text)
    statements = {_head(node): is_program for node in ast.walk(tree) if _is_code(node)}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            statements |= {_head(node): True for one in function.body for node in ast.walk(one) if _is_code(node)}
    of_run = [lines for lines, is_counted in statements.items() if is_counted and not ran.isdisjoint(lines)]
    lines_run = {line for lines in of_run for line in lines}
    code &= {line for lines in statements for line in lines}
    whole = Size(1, text.count("\n"), len(code), len(statements))
    return whole, Size(1, len(lines_run), len(code & lines_run), len(of_run)) if of_run else Size()


def _head(node: ast.stmt) -> range:
    """The lines of a statement, of one with a body those before it."""
    first = min(one.lineno for one in (node, *getattr(node, "decorator_list", ())))
    body = getattr(node, "body", None) or getattr(node, "cases", None)
    if not body:
        return range(first, (node.end_lineno or first) + 1)
    inside = [getattr(body[0], "pattern", body[0]), *getattr(body[0], "decorator_list", ())]
    return range(first, max(first + 1, min(one.lineno for one in inside)))


def _is_code(node: ast.AST) -> TypeGuard[ast.stmt]:
    """Whether it is a statement, and not a docstring."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return not isinstance(node.value.value, str)
    return isinstance(node, ast.stmt)


def _lines_of_code(text: str) -> set[int]:
    return {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in _THIN
        for line in range(token.start[0], token.end[0] + 1)
    }


def verified(checkout: Path, examples: Path, paths: list[str], folder: Path) -> dict[Path, set[int]]:
    """The lines that ran as a checkout verified examples."""
    (folder / "sitecustomize.py").write_text(NOTES_LINES, "utf-8")
    notes, report = folder / "notes", folder / "report.json"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), str(checkout)]),
        "CODE_SIZE_FOLDER": str(checkout / "diffsynth") + os.sep,
        "CODE_SIZE_EXAMPLES": str(examples),
        "CODE_SIZE_NOTES": str(notes),
        "NO_COLOR": "1",
    }
    command = [sys.executable, "-m", "porter", "verify", *paths, "--report", str(report)]
    subprocess.run(command, cwd=examples, env=environment, check=False)
    told = rows(report)
    if failed := [name for name, row in told.items() if verdict(row) == "failed"]:
        print(f"{checkout}: did not verify: {', '.join(failed)}", flush=True)
    print(f"{checkout}: {len(told)} runs", flush=True)
    ran: dict[Path, set[int]] = {}
    for place in set(notes.read_text("utf-8").splitlines()):
        name, _, line = place.rpartition(":")
        ran.setdefault(Path(name), set()).add(int(line))
    return ran


def main() -> int:
    if len(sys.argv) < 2 or not Path(sys.argv[1], "diffsynth").is_dir():
        print(__doc__, file=sys.stderr)
        return 2
    before, paths = Path(sys.argv[1]).resolve(), sys.argv[2:] or ["examples"]
    found: dict[str, tuple[Size, ...]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name, checkout, other in (("before", before, HERE), ("now", HERE, before)):
            folder = Path(temporary, name)
            examples = common_examples(checkout, other, folder / "examples")
            ran = verified(checkout, examples, paths, folder)
            library = [sizes(path, ran.get(path, set())) for path in (checkout / "diffsynth").rglob("*.py")]
            whole, run = (sum((one[which] for one in library), Size()) for which in (0, 1))
            programs = [sizes(path, ran[path], is_program=True)[1] for path in examples.rglob("*.py") if path in ran]
            in_programs = sum(programs, Size())
            found[name] = whole, run, in_programs, run + in_programs
    print(f"\n{'':<40}{'before':>9}{'now':>9}{'ratio':>8}")
    for which, (what, names) in enumerate(
        (
            ("of diffsynth/", ("modules", "lines", "code", "statements")),
            ("of it that these run", ("modules", "code", "statements")),
            ("of their programs that run", ("modules", "code", "statements")),
            ("of both that run", ("modules", "code", "statements")),
        )
    ):
        for name in names:
            one, two = (getattr(found[when][which], name) for when in ("before", "now"))
            print(f"{name + ' ' + what:<40}{one:>9,}{two:>9,}{two / one:>8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
