"""A Markdown file: each fenced block of Python or shell, by its fence or its looks, is a unit; every other byte stays.

```python
pipe.to("cuda")
```

A block that begins with a prompt `>>>` is left alone; one that does not parse is reported, and the rest goes on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from porter.accounting import commented_text as plain
from porter.accounting import python_source
from porter.accounting.mentions import Place, Reason, lines_that_name
from porter.changes import Change, apply
from porter.documents.document import CannotPort, PortedBytes, byte_order_mark, decode, encode, located, port_unit
from porter.documents.fences import MarkdownUnit, fenced_blocks
from porter.documents.shell import port_shell
from porter.findings import Finding
from porter.ignore_comments import Ignores
from porter.port import PYTHON, Plan, Ported, names_both, names_cuda
from porter.rules.unreadable_block import RULE
from porter.source import CannotParse, parse
from porter.unit import Found

#: `python`, `py3 title="run.py"`, `{.python .numberLines}`, `{#first .python}`, `{python, echo=FALSE}`
_PYTHON = re.compile(r"(?:\{\s*|\{[^}]*\.)?(?:python|py)3?(?=[\s,:{}]|\Z)", re.IGNORECASE)

#: Languages of blocks that hold shell scripts.
_SHELL = re.compile(r"(?:\{\s*|\{[^}]*\.)?(?:bash|sh|shell|zsh)(?=[\s,:{}]|\Z)", re.IGNORECASE)
_SHELL_PROMPT = re.compile(r"^[ \t]*\$[ \t]+(?=\S)", re.MULTILINE)
_PROMPT = re.compile(r"\s*>>>")

#: Beginnings of lines in blocks that do not say what they are.
_COMMAND = re.compile(
    r"""[ \t]*(?:\$[ \t]+\S | \# | (?:export[ \t]+)?[A-Z_][A-Z0-9_]*=\S*
        | (?:sudo[ \t]+)?(?:python3?|pip3?|uv|bash|sh|conda|mamba|docker|srun|sbatch|torchrun|accelerate|deepspeed|git
            |cd|mkdir|source|make|nvidia-smi|huggingface-cli)(?=\s|\Z))""",
    re.VERBOSE,
)
_IMPORTS = re.compile(r"^(?:import|from)[ \t]+\w", re.MULTILINE)


def port(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Raises CannotPort for what is no UTF-8 text; a block that does not parse is a finding."""
    mark = byte_order_mark(data)
    document = decode(data, mark)
    findings: list[Finding] = []
    left_out: list[Finding] = []
    changes: list[Change] = []
    readable: list[str] = []
    units = _units(document)
    for unit in (unit for unit, language in units if language == "shell"):
        shell = port_shell(without_prompts(unit.text), plan, name)
        findings += (_placed(one, shell, unit, document) for one in shell.findings)
        left_out += map(unit.placed, shell.left_out)
        changes += unit.changes_of_the_document(shell.changes)
    for unit in (unit for unit, language in units if language == "python"):
        try:
            ported = port_unit(unit.text, plan)
        except CannotPort as error:
            if plan.codes is None or RULE.code in plan.codes:
                kept, others = Ignores(unit.text, PYTHON.commenting).split([Found(_unreadable(error))])
                findings += (unit.placed(one.finding) for one in kept)
                left_out += map(unit.placed, others)
            continue
        readable.append(unit.text)
        findings += (_placed(one, ported, unit, document) for one in ported.findings)
        left_out += map(unit.placed, ported.left_out)
        changes += unit.changes_of_the_document(ported.changes)
    if plan.undoes and any(finding.code != RULE.code for finding in findings) and names_cuda(readable, plan):
        unreadable = [finding for finding in findings if finding.code == RULE.code]
        return PortedBytes(data, (names_both(plan), *unreadable))
    new = mark + encode(apply(document, sorted(changes))) if changes else data
    findings.sort(key=lambda one: (one.line, one.column, one.code))
    return PortedBytes(new, tuple(findings), tuple(left_out))


def _placed(finding: Finding, ported: Ported, unit: MarkdownUnit, document: str) -> Finding:
    if finding not in ported.edits:
        return unit.placed(finding)
    changes = unit.changes_of_the_document(ported.edits[finding])
    return unit.placed(finding)._replace(edits=located(document, changes))


def language_of(info: str, text: str) -> str | None:
    """By what stands behind the fence; where nothing does, by what stands in the block. None for any other."""
    if _PYTHON.match(info):
        return "python"
    if _SHELL.match(info):
        return "shell"
    if info.strip():
        return None
    if _is_all_commands(text):
        return "shell"
    return "python" if _IMPORTS.search(text) and _parses(text) else None


def _is_all_commands(text: str) -> bool:
    """Whether each line begins with a prompt, a comment or a command, or goes on with the one above."""
    lines = re.sub(r"\\\r?\n", " ", text).splitlines()
    return any(map(str.strip, lines)) and all(not line.strip() or _COMMAND.match(line) for line in lines)


def _parses(text: str) -> bool:
    try:
        parse(text)
    except (CannotParse, RecursionError):
        return False
    return True


def is_session(text: str) -> bool:
    """Whether the block shows what somebody typed at a prompt, with what came of it."""
    return _PROMPT.match(text) is not None


def without_prompts(text: str) -> str:
    """A block of shell, character for character, in which `$ ` at the beginning of a line is a prompt."""
    return _SHELL_PROMPT.sub(lambda prompt: " " * len(prompt[0]), text)


def _units(document: str) -> list[tuple[MarkdownUnit, str | None]]:
    units = [(MarkdownUnit(document, block), block.info) for block in fenced_blocks(document)]
    return [(unit, language_of(info, unit.text)) for unit, info in units if not is_session(unit.text)]


def _unreadable(error: CannotPort) -> Finding:
    line = error.line or 1
    message = f"this Python block does not parse, so it was left as it is ({error})"
    way_out = "port it by hand, or make it Python: ... stands for anything"
    return Finding(RULE.code, "note", message, line, 1, line, 1, way_out)


def mentions(text: str) -> Iterator[tuple[Place, Reason | None]]:
    """The lines that name CUDA: prose, and blocks by their language."""
    in_blocks: dict[int, Reason | None] = {}
    for block in fenced_blocks(text):
        unit = MarkdownUnit(text, block)
        for line, reason in _of_block(block.info, unit.text):
            number = line + block.first_line - 1
            if number not in in_blocks or reason is None:
                in_blocks[number] = reason
    for line in lines_that_name(text.encode("utf-8")):
        yield Place(0, line), in_blocks.get(line, Reason.PROSE)


def _of_block(info: str, text: str) -> Iterator[tuple[int, Reason | None]]:
    if is_session(text):
        return plain.all_for(text, Reason.SESSION)
    language = language_of(info, text)
    if language == "python":
        return ((place.line, reason) for place, reason in python_source.mentions(text))
    return plain.reasons(without_prompts(text)) if language == "shell" else plain.all_for(text, Reason.ANOTHER_LANGUAGE)
