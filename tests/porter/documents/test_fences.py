"""Which lines of a Markdown text are code."""

from __future__ import annotations

import pytest

from porter.documents.fences import fenced_blocks

BLOCKS: dict[str, tuple[str, list[tuple[str, int, str]]]] = {
    "backticks": ("```py\na\n```\nb\n", [("py", 2, "a\n")]),
    "tildes": ("~~~ py\na\n~~~\n", [("py", 2, "a\n")]),
    "tildes with backticks after them": ("~~~ `py`\na\n~~~\n", [("`py`", 2, "a\n")]),
    "backticks with one after them are inline code": ("``` `a`\n```\nb\n", [("", 3, "b\n")]),
    "longer": ("````py\n```\na\n````\n", [("py", 2, "```\na\n")]),
    "closed by a longer one": ("```py\na\n`````  \nb\n", [("py", 2, "a\n")]),
    "not closed by the other kind": ("```py\n~~~\n```\n", [("py", 2, "~~~\n")]),
    "not closed by one with words": ("```py\n```py\n```\n", [("py", 2, "```py\n")]),
    "too short to be one": ("``py\na\n``\n", []),
    "never closed": ("```py\na\nb", [("py", 2, "a\nb")]),
    "empty": ("```py\n```\n", [("py", 2, "")]),
    "two": ("```\na\n```\n```\nb\n```\n", [("", 2, "a\n"), ("", 5, "b\n")]),
    "indented fence": ("  ```py\n   a\n b\n    c\n  ```\n", [("py", 2, " a\nb\n  c\n")]),
    "fence in an indented code block": ("    ```py\n    a\n    ```\n", []),
    "in a list": ("- a\n\n  ```py\n  b\n\n    c\n  ```\n", [("py", 4, "b\n\n  c\n")]),
    "in an ordered list": ("10. a\n    ```py\n    b\n    ```\n", [("py", 3, "b\n")]),
    "in a list in a list": ("* a\n  + b\n    ```py\n    c\n    ```\n", [("py", 4, "c\n")]),
    "below a paragraph whose lines are indented less": (
        "1. a\n  b\n c\n\n   ```py\n   d\n   ```\n",
        [("py", 6, "d\n")],
    ),
    "below a list whose paragraph ended": ("1. a\n\nb\n\n    ```py\n    d\n    ```\n", []),
    "below a heading that ends a list": ("1. a\n# b\n\n    ```py\n    d\n    ```\n", []),
    "on the item's line": ("1) ```py\n   b\n   ```\n", [("py", 2, "b\n")]),
    "below an item without text": ("-\n  ```py\n  b\n  ```\n", [("py", 3, "b\n")]),
    "with tabs in a list": ("- a\n\n\t```py\n\tb\n\t```\n", [("py", 4, "b\n")]),
    "the list ends": ("- ```py\n  a\nb\n", [("py", 2, "a\n")]),
    "too far in for a list": ("- a\n\n      ```py\n      b\n      ```\n", []),
    "after a list": ("- a\n\n```py\nb\n```\n", [("py", 4, "b\n")]),
    "in a quote": ("> ```py\n> a\n>b\n> ```\n", [("py", 2, "a\nb\n")]),
    "the quote ends": ("> ```py\n> a\n\nb\n", [("py", 2, "a\n")]),
    "in a quote in a list": ("- > ```py\n  > a\n  > ```\n", [("py", 2, "a\n")]),
    "list within a block": ("```\n- a\n```\n", [("", 2, "- a\n")]),
    "in a comment": ("<!--\n```py\na\n```\n-->\n```py\nb\n```\n", [("py", 7, "b\n")]),
    "after a comment on one line": ("<!-- a -->\n```py\nb\n```\n", [("py", 3, "b\n")]),
    "in raw HTML": ("<PRE>\n```py\na\n```\n</pre>\n", []),
    "below other HTML": ("<details>\n\n```py\na\n```\n\n</details>\n", [("py", 4, "a\n")]),
    "CRLF": ("```py\r\na\r\n```\r\n", [("py", 2, "a\r\n")]),
    "CR": ("```py\ra\r```\r", [("py", 2, "a\r")]),
    "nothing": ("", []),
}


@pytest.mark.parametrize(("text", "blocks"), BLOCKS.values(), ids=BLOCKS)
def test_blocks(text: str, blocks: list[tuple[str, int, str]]) -> None:
    found = [
        (block.info, block.first_line, "".join(text[line.code : line.end] for line in block.lines))
        for block in fenced_blocks(text)
    ]
    assert found == blocks
