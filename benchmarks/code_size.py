"""How much code of `diffsynth/` there is, and how much of it the examples run that an earlier checkout has too.

    python -m benchmarks.code_size CHECKOUT_OF_BEFORE [PATHS...]

Both checkouts verify their own form of those examples (`diffsynth-port verify`), every way and in every process, and
each first run of a line is noted. For either it prints the modules, the lines, the lines of code (without blank lines,
comments and docstrings) and the statements: of the whole folder, and of what those examples run in functions. What only
other models need is no part of the latter; neither is what runs at import, since a trial imports all families before it
forks. PATHS are examples (default: all).
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

#: What Python imports as it starts: notes each line of a folder that runs, once a process.
NOTES_LINES = """
import os, sys, threading
from os import close, open, write  # as they are now: a trial may replace them

FOLDER, NOTES, seen = os.environ["CODE_SIZE_FOLDER"], os.environ["CODE_SIZE_NOTES"], set()

def line(frame, event, argument):
    place = frame.f_code.co_filename, frame.f_lineno
    if event == "line" and place not in seen:
        seen.add(place)
        notes = open(NOTES, os.O_WRONLY | os.O_APPEND | os.O_CREAT)  # whatever a process closes meanwhile
        write(notes, f"{place[0]}:{place[1]}\\n".encode())
        close(notes)
    return line

def call(frame, event, argument):
    return line if frame.f_code.co_filename.startswith(FOLDER) else None

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


def sizes(module: Path, ran: set[int]) -> tuple[Size, Size]:
    """Of a module as a whole, and of the statements in its functions that ran."""
    text = module.read_text("utf-8")
    tree = ast.parse(text)
    code = _lines_of_code(text)
    statements = {_head(node): False for node in ast.walk(tree) if _is_code(node)}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            statements |= {_head(node): True for one in function.body for node in ast.walk(one) if _is_code(node)}
    of_run = [lines for lines, in_function in statements.items() if in_function and not ran.isdisjoint(lines)]
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
    found: dict[str, tuple[Size, Size]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name, checkout, other in (("before", before, HERE), ("now", HERE, before)):
            folder = Path(temporary, name)
            examples = common_examples(checkout, other, folder / "examples")
            ran = verified(checkout, examples, paths, folder)
            both = [sizes(path, ran.get(path, set())) for path in sorted((checkout / "diffsynth").rglob("*.py"))]
            whole, run = (sum((one[which] for one in both), Size()) for which in (0, 1))
            found[name] = whole, run
    print(f"\n{'':<34}{'before':>9}{'now':>9}{'ratio':>8}")
    for which, what, names in (
        (0, "of diffsynth/", ("modules", "lines", "code", "statements")),
        (1, "that these run", ("modules", "code", "statements")),
    ):
        for name in names:
            one, two = (getattr(found[when][which], name) for when in ("before", "now"))
            print(f"{name + ' ' + what:<34}{one:>9,}{two:>9,}{two / one:>8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
