"""What only gets another name: the bytes of the name change, and all around it stays as it stands.

A piece is what `ast` has found: a literal, a chain of attributes, an import statement. Where in it the names are needs
no parser beside: a chain ends in its last name, a literal begins with its prefix and quote.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from unicodedata import normalize

from porter.changes import Change, apply
from porter.syntax_tree import syntax_tree


class CannotRewrite(ValueError):
    """The piece is not of the form that the change is for; the message goes on after "but"."""


#: What may stand between two names of a chain, or before it.
_BETWEEN = r"(?:\s|\\[\r\n]|#[^\r\n]*[\r\n])*"

#: Before a name of a chain, its dot, unless it is the first, and parentheses; behind it those that close.
_BEFORE = rf"(?:\A|\.)(?:{_BETWEEN}\()*{_BETWEEN}"
_BEHIND = rf"(?:{_BETWEEN}\))*{_BETWEEN}"
_LINKS = re.compile(rf"{_BEFORE}(?P<name>\w+)(?P<behind>{_BEHIND})")

_OPENING = re.compile(rf"""(?:{_BETWEEN}\()*{_BETWEEN}[A-Za-z]{{0,2}}(?:\"\"\"|'''|"|')""")
_LAST_NAME = re.compile(rf"(?<=\.)(?P<before>{_BETWEEN})(?P<name>\w+)\Z")
_DOTTED = rf"\w+(?:{_BETWEEN}\.{_BETWEEN}\w+)*"
_FROM = re.compile(rf"from{_BETWEEN}(?P<module>{_DOTTED}){_BETWEEN}import\b")


def replace_start(text: str, old: str, new: str) -> str:
    """A string literal whose text starts with `old`: '"cuda:1"', "f'cuda:{rank}'", '"cuda:" + str(rank)'."""
    opening = _OPENING.match(text)
    if opening is None or not text.startswith(old, opening.end()):
        raise CannotRewrite(f"{text!r} does not begin with {old!r} as written")
    return text[: opening.end()] + new + text[opening.end() + len(old) :]


def rename_method(text: str, old: str, new: str) -> str:
    """`model.cuda` to `model.npu`, and `x.is_cuda` to `x.is_npu`."""
    last = _LAST_NAME.search(text)
    if last is None or not _is_name(last["name"], old):
        raise CannotRewrite(f"{text!r} does not end in .{old}")
    return text[: last.end("before")] + new


def rename_chain(text: str, old_names: tuple[str, ...], new_names: tuple[str, ...]) -> str:
    """The last names of `a.b.c` replaced: ('torch.cuda.CUDAGraph', ('cuda', 'CUDAGraph'), ('npu', 'NPUGraph'))."""
    links = _end_of_chain(len(old_names)).search(text)
    found = list(_LINKS.finditer(links[0])) if links is not None else []
    if links is None or not all(map(_is_name, (link["name"] for link in found), old_names)):
        raise CannotRewrite(f"{text!r} does not end in {'.'.join(old_names)}")
    at = links.start()
    if len(old_names) == len(new_names):
        names = zip(found, new_names, strict=True)
        return apply(text, [Change(at + link.start("name"), at + link.end("name"), new) for link, new in names])
    if not links[0].startswith("."):
        raise CannotRewrite(f"{text!r} is not a chain of {len(old_names)} attributes")
    closing = "".join(link["behind"] for link in found).count(")")
    return text[:at] + "".join(f".{name}" for name in new_names) + ")" * closing


def _is_name(written: str, name: str) -> bool:
    """Whether Python takes what is written for the name: it may be in letters that are the same to it."""
    return written == name or (not written.isascii() and normalize("NFKC", written) == name)


@cache
def _end_of_chain(count: int) -> re.Pattern[str]:
    return re.compile(rf"(?:{_BEFORE}\w+{_BEHIND}){{{count}}}\Z")


def change_import(text: str, module: str, renamed: tuple[tuple[str, str], ...]) -> str:
    """`from OLD import a, b` to `from MODULE import ...`, or `import OLD` with `module` as its new name.

    `renamed` pairs each imported name that changes with its new one. A name that changes keeps what it is called
    in the rest of the file: `CUDAGraph` becomes `NPUGraph as CUDAGraph`, and turned round it loses the `as` again.
    """
    statement = syntax_tree(text).body[0]
    if not isinstance(statement, ast.Import | ast.ImportFrom):
        raise CannotRewrite(f"{text!r} is not an import")
    changes = list(_aliases_changed(text, statement, dict(renamed)))
    if isinstance(statement, ast.ImportFrom) and statement.module != module:
        found = _FROM.match(text)
        if found is None:
            raise CannotRewrite(f"{text!r} does not name its module as expected")
        changes.insert(0, Change(*found.span("module"), module))
    return apply(text, changes)


def _aliases_changed(text: str, statement: ast.Import | ast.ImportFrom, names: dict[str, str]) -> Iterator[Change]:
    for alias in statement.names:
        new, _, keep = names.get(alias.name, alias.name).partition(" as ")
        if new == alias.name:
            continue
        start = _offset(text, alias.lineno, alias.col_offset)
        end = _offset(text, alias.end_lineno or alias.lineno, alias.end_col_offset or alias.col_offset)
        if isinstance(statement, ast.ImportFrom) and alias.asname in (None, new):
            yield Change(start, end, f"{new} as {keep}" if keep and alias.asname is None else new)
        else:
            yield Change(start, start + len(_NAME.match(text, start)[0]), new)  # type: ignore[index]


_NAME = re.compile(_DOTTED)
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)?")


def _offset(text: str, line: int, column: int) -> int:
    """The character at a place as `ast` gives it: line from 1, column in bytes."""
    at = 0
    for _ in range(line - 1):
        at = _LINE.match(text, at).end()  # type: ignore[union-attr]
    return at + len(text[at:].encode()[:column].decode())
