"""Changes as small as they can be, and made."""

from __future__ import annotations

import pytest

from porter.changes import Change, apply, within_lines


def test_apply() -> None:
    assert apply("abcdef", [Change(0, 1, "x"), Change(1, 1, "y"), Change(3, 6, "")]) == "xybc"
    assert apply("abc", []) == "abc"
    assert apply("abc", [Change(3, 3, "d")]) == "abcd"


@pytest.mark.parametrize(
    ("old", "new", "smallest"),
    [
        ("f(cuda)", "f(npu)", [Change(2, 6, "npu")]),
        ("aa", "aaa", [Change(2, 2, "a")]),
        ("aaa", "aa", [Change(2, 3, "")]),
        ("a\r\nb", "a\nb", [Change(1, 2, "")]),
        ("f(\n'cuda'\n).cuda()", "f(\n'npu'\n).npu()", [Change(4, 8, "npu"), Change(12, 16, "npu")]),
        ("x\ny", "x y", [Change(0, 3, "x y")]),
        ("", "line\n", [Change(0, 0, "line\n")]),
        ("line\n", "", [Change(0, 5, "")]),
        ("same", "same", []),
    ],
)
def test_within_lines(old: str, new: str, smallest: list[Change]) -> None:
    assert list(within_lines(old, [Change(0, len(old), new)])) == smallest
    moved = [Change(start + 3, end + 3, text) for start, end, text in smallest]
    assert list(within_lines("abc" + old, [Change(3, 3 + len(old), new)])) == moved
