"""What kind of document a file is, by its name: each kind is a module of porter.documents.

.ipynb                     notebook: the source of its code cells, and their shell commands
.md, .markdown             Markdown: its fenced blocks of Python and shell
.sh, .bash, .slurm         shell script; so is what names a shell in its first line, and ends in nothing known
.yaml, .yml, .json, .toml  configuration: entries whose key is about a device, packages, resources
requirements*.txt          packages to install
Dockerfile, Makefile       their shell commands, and what else they name
.cu, .cuh, .cpp, .h        C++: only counted
anything else              Python
"""

from __future__ import annotations

import os.path
import re

#: What is Python whatever its first line says.
PYTHON = (".py", ".pyi", ".pyw")

_BY_ENDING = {
    ".ipynb": "notebook",
    ".md": "markdown",
    ".markdown": "markdown",
    ".sh": "shell",
    ".bash": "shell",
    ".slurm": "shell",
    ".sbatch": "shell",
    ".yaml": "configuration",
    ".yml": "configuration",
    ".json": "configuration",
    ".toml": "configuration",
    ".dockerfile": "dockerfile",
    ".mk": "makefile",
    ".cu": "cpp",
    ".cuh": "cpp",
    ".cpp": "cpp",
    ".cc": "cpp",
    ".cxx": "cpp",
    ".h": "cpp",
    ".hpp": "cpp",
}
_BY_NAME = (
    (re.compile(r"(?:docker|container)file(?:[._-][\w.-]+)?", re.IGNORECASE), "dockerfile"),
    (re.compile(r"(?:gnu)?makefile", re.IGNORECASE), "makefile"),
    (re.compile(r"(?:[\w.-]*[_.-])?(?:requirements?|constraints)(?:[_.-][\w.-]*)?\.(?:txt|in)", re.IGNORECASE),
     "requirements"),
)  # fmt: skip

#: Endings that a name of one of those patterns may have and be another kind all the same: `docker_file.py`.
_KNOWN = frozenset({*_BY_ENDING, *PYTHON})


def kind_by_name(path: str) -> str | None:
    """The kind that a file's name tells; None where only its first line can."""
    name = os.path.basename(path)
    ending = os.path.splitext(name)[1].lower()
    if ending in PYTHON:
        return "python"
    if ending in _BY_ENDING:
        return _BY_ENDING[ending]
    by_name = next((kind for pattern, kind in _BY_NAME if pattern.fullmatch(name)), None)
    if by_name is None and ending == ".txt" and os.path.basename(os.path.dirname(path)) == "requirements":
        return "requirements"
    return by_name


def kind_of(path: str, data: bytes) -> str:
    """The kind of a file with this content."""
    if (kind := kind_by_name(path)) is not None:
        return kind
    return "shell" if names_a_shell(data) else "python"


_SHELL = re.compile(rb"#![^\r\n]*[/ \t](?:ba|da)?sh(?=[ \t\r\n]|\Z)")

ENDINGS = (".sh", ".bash")

#: As much of a file as a first line may take.
_LONGEST = 200


def names_a_shell(beginning: bytes) -> bool:
    """Whether a file that begins so is a shell script."""
    return _SHELL.match(beginning) is not None


def is_shell_script(path: str) -> bool:
    """Whether the file ends as shell scripts do, or has no ending and begins as they do."""
    name = os.path.basename(path)
    if name.lower().endswith(ENDINGS):
        return True
    try:
        with open(path, "rb") as file:
            return "." not in name and names_a_shell(file.read(_LONGEST))
    except OSError:
        return False
