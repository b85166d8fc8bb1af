"""What could be parsed before a change, and cannot afterwards."""

from __future__ import annotations

import json

import pytest

from porter.still_parses import still_parses


def notebook(*sources: str) -> bytes:
    cells = [{"cell_type": "code", "source": source, "metadata": {}, "outputs": []} for source in sources]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


@pytest.mark.parametrize(
    ("path", "before", "after", "survives"),
    [
        ("a.py", b"x = 1", b"x = 2", True),
        ("a.py", b'x = f("a")', b'x = f(""a")', False),
        ("a.py", b"x = (", b"y = (", True),
        ("a.py", b"x = 1", b"x = '\0'", False),
        ("run", b"x = 1", b"x = (", False),
        ("run", b"#!/bin/sh\na", b"#!/bin/sh\n(", True),
        ("a.sh", b"a", b"(", True),
        ("a.json", b'{"a": 1}', b'{"a": 1', False),
        ("a.json", b'{"a": 1, // b\n}', b'{"a": 2, // b\n}', True),
        ("a.ipynb", notebook("!ls\nx", "y = 1"), notebook("!ls\nx", "y = ("), False),
        ("a.ipynb", notebook("x = (", "y = 1"), notebook("z = (", "y = 2"), True),
    ],
)
def test_what_survives_a_change(path: str, before: bytes, after: bytes, survives: bool) -> None:
    assert still_parses(path, before, after) is survives
