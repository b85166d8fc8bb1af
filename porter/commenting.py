"""How comments are written in each kind of text: where they are, where one may stand, and what is not one."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from sys import version_info

from porter.comments import Comments, line_comments, python_comments, python_places
from porter.syntax_tree import syntax_tree

_LINE_END = re.compile(r"\r\n|\r|\n")
_SLASHES = re.compile(r"(?:\"(?:\\.|[^\"\\\n])*\"|[^\"\n/]|/(?!/))*")
_WHOLE_LINE = re.compile(r"[ \t]*#[^\n]*(?:\n|\Z)")
_HEREDOC = re.compile(r"^[ \t]*(?:RUN|COPY|ADD)\b[^\n]*<<", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Commenting:
    """A kind of text. `comments` gives its comments by line; `places` says of a line that a comment for it stands on
    another one, too; `code` is what a text says without its comments: two texts of the same code do the same. It raises
    ValueError for a text that cannot be read.

    `mark` begins a comment. `above` says that a comment stands on a line of its own, above what it is about. `original`
    is a text to look into in the place of one in which other things were overwritten.
    """

    comments: Callable[[str], Comments]
    places: Callable[[str], dict[int, int]]
    code: Callable[[str], object]
    mark: str = "#"
    above: bool = False
    original: str | None = None


def lines_of(text: str) -> list[str]:
    """The lines of a text, without their endings."""
    return _LINE_END.split(text)


def _comments_after_a_hash(text: str) -> Comments:
    return line_comments(text.split("\n"))


def _continued(text: str) -> dict[int, int]:
    """A line that ends in a backslash goes on: its comment stands where it is over."""
    found: dict[int, int] = {}
    after = 0
    lines = lines_of(text)
    for number in range(len(lines), 0, -1):
        if number < len(lines) and lines[number - 1].endswith("\\"):
            found[number] = after
        else:
            after = number
    return found


def _python(text: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.dump(syntax_tree(text))
        except (SyntaxError, RecursionError, MemoryError) as error:
            raise ValueError(str(error)) from None


def _shell(text: str) -> list[tuple[str, bytes]]:
    from porter.shell.syntax import parse, walk
    from porter.source import CannotParse

    data = text.encode("utf-8")
    try:
        nodes = walk(parse(data))
    except CannotParse as error:
        raise ValueError(str(error)) from None
    lines = data.split(b"\n")
    leaves: list[tuple[str, bytes]] = []
    for node in nodes:
        if node.type.startswith("heredoc_"):  # it ends in a line that holds nothing else
            leaves.append((node.type, b"\n".join(lines[node.start_point.row + 1 : node.end_point.row + 1])))
        elif not node.children and node.type != "comment":
            leaves.append((node.type, data[node.start_byte : node.end_byte]))
    return leaves


def _yaml(text: str) -> list[tuple[object, ...]]:
    import yaml

    fields = ("value", "anchor", "tag", "style", "explicit")
    try:
        return [
            (type(one).__name__, *(getattr(one, name, None) for name in fields))
            for one in yaml.parse(text, Loader=yaml.SafeLoader)
        ]
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _toml(text: str) -> str:
    toml = import_module("tomllib" if version_info >= (3, 11) else "tomli")
    try:
        return repr(toml.loads(text))
    except RecursionError as error:
        raise ValueError(str(error)) from None


def _requirements(text: str) -> list[str]:
    """As pip reads it: what goes on in the next line is joined first, and then comments are left out."""
    joined = re.sub(r"\\\r?\n", "", text)
    return [line for one in lines_of(joined) if (line := re.sub(r"(?:^|\s+)#.*", "", one).strip())]


def _dockerfile(text: str) -> str:
    """Comments within an instruction go as well; what a heredoc holds is another language's, so none is looked for."""
    return text if _HEREDOC.search(text) else re.sub(_WHOLE_LINE.pattern, "", text, flags=re.MULTILINE)


def _above(text: str) -> dict[int, int]:
    lines = lines_of(text)
    return {
        number + 1: number
        for number in range(1, len(lines))
        if lines[number - 1].lstrip().startswith("#") and not lines[number].lstrip().startswith("#")
    }


def _makefile(text: str) -> tuple[str, list[tuple[str, bytes]]]:
    from porter.shell.recipes import as_shell, without_recipes

    return without_recipes(text), _shell(as_shell(text))


def _comments_after_slashes(text: str) -> Comments:
    return dict(_slashes(text))


def _slashes(text: str) -> Iterator[tuple[int, tuple[int, str]]]:
    for number, line in enumerate(text.split("\n"), 1):
        before = _SLASHES.match(line)
        if before and line.startswith("//", before.end()):
            yield number, (before.end() + 1, line[before.end() :])


def _cpp(text: str) -> list[str]:
    comments = _comments_after_slashes(text)
    return [
        line[: comments[number][0] - 1].rstrip() if number in comments else line.rstrip()
        for number, line in enumerate(text.split("\n"), 1)
    ]


def _no_places(text: str) -> dict[int, int]:
    return {}


def _no_comments(text: str) -> Comments:
    return {}


PYTHON = Commenting(python_comments, python_places, _python)
SHELL = Commenting(_comments_after_a_hash, _continued, _shell)
YAML = Commenting(_comments_after_a_hash, _no_places, _yaml)
TOML = Commenting(_comments_after_a_hash, _no_places, _toml)
JSON = Commenting(_no_comments, _no_places, str)
REQUIREMENTS = Commenting(_comments_after_a_hash, _continued, _requirements)
DOCKERFILE = Commenting(_comments_after_a_hash, _above, _dockerfile, above=True)
MAKEFILE = Commenting(_comments_after_a_hash, _continued, _makefile)
CPP = Commenting(_comments_after_slashes, _continued, _cpp, mark="//")

#: What a configuration file is, by its ending.
CONFIGURATION = {".yaml": YAML, ".yml": YAML, ".toml": TOML, ".json": JSON}
