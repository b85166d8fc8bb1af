"""`# port: ignore` and `# port: ignore[RULE]`: what a line asks not to be ported or reported."""

from __future__ import annotations

from dataclasses import replace

import pytest

from porter.documents.document import port_unit
from porter.port import Plan, Ported


def ported(text: str) -> Ported:
    return replace(port_unit(text, Plan("npu")), left_out=())


def codes(text: str) -> set[str]:
    return {finding.code for finding in ported(text).findings} - {"DP117"}


BOTH = 'x = torch.cuda.Stream("cuda")'


@pytest.mark.parametrize(
    "comment",
    [
        pytest.param("# port: ignore", id="everything"),
        pytest.param("#port:ignore", id="without-spaces"),
        pytest.param("#  port:   ignore", id="more-spaces"),
        pytest.param("# noqa  # port: ignore", id="behind-another-comment"),
        pytest.param("# port: ignore: the reason why", id="with-a-reason"),
        pytest.param("# port: ignore[DP101, DP104]", id="both-rules"),
        pytest.param("# port: ignore[DP1]", id="by-the-beginning"),
        pytest.param("# port: ignore[DP104,DP101]", id="the-other-way-round"),
        pytest.param("# port: ignore[device-string,torch-namespace]", id="by-name"),
        pytest.param("# port: ignore[DP101]  # port: ignore[DP104]", id="two-comments"),
        pytest.param("# port: ignore[dp101, dp104]", id="lower-case"),
        pytest.param("# port: ignore [DP101, DP104]", id="bracket-apart"),
        pytest.param("# port: ignore [sic]", id="bracket-of-a-reason"),
        pytest.param("# port: ignore[DP101,, DP104,]", id="more-commas"),
        pytest.param("# port: ignore: see [DP]", id="reason-with-brackets"),
    ],
)
def test_a_line_is_left_alone(comment: str) -> None:
    text = f"{BOTH}  {comment}\n"
    assert ported(text) == Ported(text)


@pytest.mark.parametrize(
    ("comment", "after", "left"),
    [
        pytest.param("# port: ignore[DP101]", 'x = torch.npu.Stream("cuda")', {"DP104"}, id="by-code"),
        pytest.param("# port: ignore[torch-namespace]", 'x = torch.cuda.Stream("npu")', {"DP101"}, id="by-name"),
        pytest.param("# port: ignore[DP105]", 'x = torch.npu.Stream("npu")', {"DP101", "DP104"}, id="another-rule"),
        pytest.param("# port: ignored", 'x = torch.npu.Stream("npu")', {"DP101", "DP104"}, id="another-word"),
        pytest.param("# port: ignore[]", 'x = torch.npu.Stream("npu")', {"DP101", "DP104"}, id="nothing"),
        pytest.param("# import: ignore", 'x = torch.npu.Stream("npu")', {"DP101", "DP104"}, id="another-comment"),
        pytest.param("# type: ignore", 'x = torch.npu.Stream("npu")', {"DP101", "DP104"}, id="another-tool"),
    ],
)
def test_only_what_is_named_is_left_alone(comment: str, after: str, left: set[str]) -> None:
    text = f"{BOTH}  {comment}\n"
    assert ported(text).text == f"{after}  {comment}\n"
    assert codes(text) == left


@pytest.mark.parametrize(
    ("comment", "after", "only"),
    [
        pytest.param("ignore[dp101", 'x = torch.npu.Stream("cuda")', "dp101", id="not-closed"),
        pytest.param("ignore[DP101, DP104", BOTH, "DP101, DP104", id="two-not-closed"),
        pytest.param("ignore[device-string", 'x = torch.npu.Stream("cuda")', "device-string", id="name-not-closed"),
        pytest.param("ignore[", 'x = torch.npu.Stream("npu")', None, id="nothing-not-closed"),
        pytest.param("ignore[the rule of d", 'x = torch.npu.Stream("npu")', None, id="words-not-closed"),
        pytest.param("ignore[DP101  # noqa", 'x = torch.npu.Stream("cuda")', "DP101", id="before-another-comment"),
        pytest.param("ignore[DP101)", 'x = torch.npu.Stream("cuda")', "DP101", id="another-bracket"),
        pytest.param("ignore[DP101; DP104]", BOTH, "DP101, DP104", id="semicolon"),
        pytest.param("ignore[DP101 DP104]", BOTH, "DP101, DP104", id="no-comma"),
        pytest.param("ignore DP101", 'x = torch.npu.Stream("cuda")', "DP101", id="no-brackets"),
        pytest.param("ignore: dp101 is mine", 'x = torch.npu.Stream("cuda")', "dp101", id="colon"),
        pytest.param("ignore(DP101)", 'x = torch.npu.Stream("cuda")', "DP101", id="round-brackets"),
        pytest.param("ignore-file[DP101", 'x = torch.npu.Stream("cuda")', "DP101", id="file"),
    ],
)
def test_a_broken_comment_is_reported_and_ignores_what_it_names_at_most(
    comment: str, after: str, only: str | None
) -> None:
    text = f"{BOTH}  # port: {comment}\n"
    done = ported(text)
    assert done.text == f"{after}  # port: {comment}\n"
    (said,) = [one for one in done.findings if not one.is_fix]
    assert (said.code, said.severity) == ("DP114", "warning")
    assert f"ignores {f'only {only}' if only else 'nothing'}:" in said.message
    assert said.column == len(BOTH) + 3
    assert ("not closed" in said.message) is (comment.count("[") > comment.count("]"))


def test_other_lines_are_ported() -> None:
    text = 'a = "cuda"  # port: ignore\nb = "cuda"\n# port: ignore\nc = "cuda"\n'
    assert ported(text).text == 'a = "cuda"  # port: ignore\nb = "npu"\n# port: ignore\nc = "npu"\n'


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("from torch.cuda import (  # port: ignore\n    Stream,\n)\n", id="first-line"),
        pytest.param("from torch.cuda import (\n    Stream,\n)  # port: ignore\n", id="last-line"),
        pytest.param('d = ("cuda"\n     ":0")  # port: ignore\n', id="string-over-lines"),
    ],
)
def test_the_first_or_last_line_of_what_is_found(text: str) -> None:
    assert ported(text) == Ported(text)


def test_a_comment_inside_of_what_is_found_is_none_for_it() -> None:
    text = "from torch.cuda import (\n    Stream,  # port: ignore\n    Event,\n)\n"
    assert ported(text).text == text.replace("torch.cuda", "torch.npu")


def test_reports_are_left_out_too() -> None:
    assert "DP102" in codes('x = table["cuda"]\n')
    assert codes('x = table["cuda"]  # port: ignore[device-comparison]\n') == set()


def test_an_import_is_not_added_for_a_line_that_is_left_alone() -> None:
    text = 'from diffsynth import x\nv = torch.cuda.mem_get_info("cuda")  # port: ignore\n'
    assert ported(text) == Ported(text)


def test_undoing_leaves_the_same_lines_alone() -> None:
    text = 'a = "cuda"\nb = torch.cuda.Stream()  # port: ignore\n'
    after = ported(text).text
    assert after == 'a = "npu"\nb = torch.cuda.Stream()  # port: ignore\n'
    assert port_unit(after, Plan("cuda")).text == text


@pytest.mark.parametrize(
    ("comment", "after", "left"),
    [
        pytest.param("# port: ignore-file", BOTH, set(), id="everything"),
        pytest.param("# port: ignore-file[DP101]", 'x = torch.npu.Stream("cuda")', {"DP104"}, id="by-code"),
        pytest.param(
            "# port: ignore-file[DP999]", 'x = torch.npu.Stream("npu")', {"DP101", "DP104", "DP114"}, id="none"
        ),
        pytest.param("# port: ignore-files", 'x = torch.npu.Stream("npu")', {"DP101", "DP104"}, id="another-word"),
        pytest.param('"# port: ignore-file"', 'x = torch.npu.Stream("npu")', {"DP101", "DP104"}, id="in-a-string"),
    ],
)
def test_a_whole_file_is_left_alone(comment: str, after: str, left: set[str]) -> None:
    text = f"import torch\n{BOTH}\n\n{comment}\n"
    assert ported(text).text == f"import torch\n{after}\n\n{comment}\n"
    assert codes(text) == left
