"""What the words of a script come to."""

from __future__ import annotations

import pytest

from porter.shell.script import ShellScript
from porter.shell.values import HERE, UNKNOWN


def words(script: str) -> list[str]:
    """Those of the command `run`, less its name."""
    return next(command.texts[1:] for command in ShellScript(script, "run.sh").commands if command.name == "run")


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("run a 'b c' \"d e\" f\\ g", ["a", "b c", "d e", "f g"]),
        ("run a'b'\"c\"d", ["abcd"]),
        ('run "a\\"b\\$c\\d"', ['a"b$c\\d']),
        ("run 'a\n b'", ["a\n b"]),
        ('run "a\\\n b"', ["a b"]),
        ("X=1; run $X ${X} \"$X$X\" '$X'", ["1", "1", "11", "$X"]),
        ("X='a b'; run $X \"$X\"", ["a", "b", "a b"]),
        ('X=; run $X "$X"', [""]),
        ("X=1; X=2; run $X", ["2"]),
        ("X=1; X+=2; run $X", ["12"]),
        ("X=1; if y; then X=2; fi; run $X", [UNKNOWN]),
        ("X=1; if y; then X=1; fi; run $X", ["1"]),
        ("for X in 1 2; do run $X; done", [UNKNOWN]),
        ("run $X", [UNKNOWN]),
        ('run a$1 "$@" $?', [f"a{UNKNOWN}", UNKNOWN, UNKNOWN]),
        ("run $(ls) `ls` $((1 + 1))", [UNKNOWN, UNKNOWN, UNKNOWN]),
        ('run ${X:-a} ${X-b} "${X:=c d}"', ["a", "b", "c d"]),
        ("X=1; run ${X:-a}", ["1"]),
        ("X=1; run ${X%.sh} ${#X} ${!X}", [UNKNOWN, UNKNOWN, UNKNOWN]),
        ("A=$B; B=$A; run $A", [UNKNOWN]),
        ("A=$A; run $A", [UNKNOWN]),
        ("A=(1 '2 3'); run \"${A[@]}\" ${A[*]}", ["1", "2 3", "1", "2 3"]),
        ('A=(1); A+=(2); run "${A[@]}"', ["1", "2"]),
        ('A=(1); if x; then A+=(2); fi; run "${A[@]}"', ["1", "2"]),
        ('A=(1); A=(2); run "${A[@]}"', ["2"]),
        ('A=(); run "${A[@]}" x', ["x"]),
        ('run "${A[@]}"', [UNKNOWN]),
        ("run a > log b 2>&1", ["a", "b"]),
        ('run "$(dirname "$0")/x.py"', [f"{HERE}/x.py"]),
        ('D=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd); run $D/../x.py', [f"{HERE}/../x.py"]),
        ('run "$(dirname "$X")/x.py"', [f"{UNKNOWN}/x.py"]),
    ],
)
def test_words(script: str, expected: list[str]) -> None:
    assert words(script) == expected
