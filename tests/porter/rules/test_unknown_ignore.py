"""DP114: a comment that ignores a rule which is none; and what counts as such a comment."""

from __future__ import annotations

import pytest

from porter.documents.document import port_unit
from porter.port import Plan

CODE = "DP114"


def _codes(text: str) -> list[tuple[str, int, int]]:
    return [(one.code, one.line, one.column) for one in port_unit(text, Plan("npu")).findings]


@pytest.mark.parametrize("names", ["DP999", "DP105, nothing", "cuda-methods", "DP105 DP101"])
def test_a_name_that_is_no_rule(names: str) -> None:
    text = f"x.cuda()  # port: ignore[{names}]\n"
    assert (CODE, 1, 11) in _codes(text)


@pytest.mark.parametrize("names", ["DP105", "DP1", "dp1", "cuda-method", "DP105, DP101", ""])
def test_names_that_are_rules(names: str) -> None:
    assert CODE not in [code for code, *_ in _codes(f"x.cuda()  # port: ignore[{names}]\n")]


@pytest.mark.parametrize(
    "text", ['s = "# port: ignore"; x.cuda()\n', "x.cuda('# port: ignore')\n", 'x.cuda(); s = """\n# port: ignore"""\n']
)
def test_a_string_is_no_comment(text: str) -> None:
    assert ".npu(" in port_unit(text, Plan("npu")).text


@pytest.mark.parametrize("text", ["x.cuda()  # port: ignore\n", "x.cuda(); s = '#'  # port: ignore[DP1]\n"])
def test_a_comment_is_one(text: str) -> None:
    assert port_unit(text, Plan("npu")).text == text
