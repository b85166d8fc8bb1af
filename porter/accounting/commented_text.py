"""Why a line in another language than Python that names CUDA is passed over: shell, and whatever has its comments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from porter.accounting.mentions import Place, Reason, lines_that_name
from porter.comments import line_comments
from porter.made_for_cuda import TOOLS
from porter.shell.command import PRINTING
from porter.vocabulary import is_another_backend, says_device, says_text

_NAMED = re.compile(r"cuda|nccl|nvidia", re.IGNORECASE)
_WORD = re.compile(r"(?:\"[^\"]*\"|'[^']*'|[^\s;|&()\"'])+")
_PATH = re.compile(r"[^\s=]*/[^\s]*|[\w.{}$-]+\.(?:py|sh|txt|json|ya?ml|toml|log|cu|cuh|so|h|cpp|md|whl)\b[^\s]*")
_IDENTIFIER = re.compile(r"[\w-]+")
_BARE = frozenset({"cuda", "nccl", "nvidia"})

_SEARCHING = frozenset("grep egrep fgrep sed awk".split())

#: Environment modules of clusters.
_LOADS = re.compile(r"\b(?:module|ml)\s+(?:load|add|swap|switch)\b[^;&|]*(?:cuda|nccl|nvidia)", re.IGNORECASE)

#: Commands whose words are paths.
_OF_PATHS = frozenset("cd ls mkdir source . cp mv rm ln pushd touch cat chmod chown tar".split())

#: Of a longer word, such as a line of minified JSON, nothing is said by its looks.
_LONGEST_WORD = 200


def mentions(text: str) -> Iterator[tuple[Place, Reason | None]]:
    """Each line of a file that names CUDA, and why it is passed over."""
    return ((Place(0, line), reason) for line, reason in reasons(text))


def reasons(text: str) -> Iterator[tuple[int, Reason | None]]:
    """Each line that names CUDA, with why it is passed over; None where nothing says so."""
    lines = re.split(r"\r\n|\r|\n", text)
    comments = line_comments(lines)
    for number in lines_that_name(text.encode("utf-8")):
        line = lines[number - 1] if number <= len(lines) else ""
        yield number, _reason(line, comments.get(number))


def loads_a_module(line: str) -> bool:
    """`module load cuda/12.1`, as clusters have them."""
    return _LOADS.search(line) is not None


def all_for(text: str, reason: Reason) -> Iterator[tuple[int, Reason | None]]:
    """Each line that names CUDA, for one reason."""
    return ((number, reason) for number in lines_that_name(text.encode("utf-8")))


def _reason(line: str, comment: tuple[int, str] | None) -> Reason | None:
    code = line[: comment[0] - 1] if comment is not None else line
    if not _NAMED.search(code):
        return Reason.COMMENT
    words = _WORD.findall(code)
    command = words[0].lstrip("@-+") if words else ""
    if command in PRINTING:
        return Reason.PATTERN if command in _SEARCHING else Reason.MESSAGE
    if loads_a_module(code):  # cuda/12.1 is no path there
        return None
    found = [_of_word(before, word) for before, word in pairwise(["", *words]) if _NAMED.search(word)]
    if not found or None in found:
        return Reason.PATH if command in _OF_PATHS else None
    return found[0]


def _of_word(before: str, word: str) -> Reason | None:
    """By the option or variable that a word is the value of, or else by its looks."""
    if len(word) > _LONGEST_WORD:
        return None
    label, is_set, value = word.partition("=")
    if is_set and _NAMED.search(value):
        return _of_value(label.lstrip("-"), value, label.startswith("-"))
    if before.startswith("--") and "=" not in before and not word.startswith("-"):
        return _of_value(before.lstrip("-"), word, True)
    return _by_its_looks(word)


def _of_value(label: str, value: str, is_option: bool) -> Reason | None:
    if is_another_backend(label):
        return None
    if says_text(label) and not says_device(label):
        return Reason.PATH if "/" in value and _by_its_looks(value) is Reason.PATH else Reason.TEXT
    return _by_its_looks(value) or (Reason.DATA if is_option and not says_device(label) else None)


def _by_its_looks(word: str) -> Reason | None:
    """A path, or a name that has one of the names as a part of it: `USE_CUDA`, `--use-cuda`, `cuda_ext`."""
    found = [_of_a_part(part) for part in word.split() if _NAMED.search(part)]  # quotes may hold several
    return None if None in found else found[0]


def _of_a_part(part: str) -> Reason | None:
    if _PATH.search(part):
        return Reason.PATH
    names = [name for name in _IDENTIFIER.findall(part) if _NAMED.search(name)]
    return None if any(name.strip("-").lower() in _BARE or name in TOOLS for name in names) else Reason.NAME
