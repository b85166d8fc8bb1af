"""The lines of a Markdown file that name CUDA: prose, and blocks by their language."""

from __future__ import annotations

from collections.abc import Iterator

from porter.accounting import commented_text as plain
from porter.accounting import python
from porter.accounting.mentions import lines_that_name
from porter.accounting.reasons import Place, Reason
from porter.documents.fences import fenced_blocks
from porter.documents.markdown import is_python, is_session, is_shell, without_prompts
from porter.documents.markdown_unit import MarkdownUnit


def mentions(text: str) -> Iterator[tuple[Place, Reason | None]]:
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
    if is_python(info):
        return ((place.line, reason) for place, reason in python.mentions(text))
    return plain.reasons(without_prompts(text)) if is_shell(info) else plain.all_for(text, Reason.ANOTHER_LANGUAGE)
