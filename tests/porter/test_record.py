"""What a port changed, put back in a file that was edited since."""

from __future__ import annotations

import json

import pytest

from porter.record import Entry, entry_of, restored

BEFORE = b"""\
import torch

model = build().to("cuda").cuda()
other = "npu"
for batch in loader:
    batch = batch.to("cuda")
    loss = model(batch)
    device = "cuda"
"""
AFTER = BEFORE.replace(b"cuda", b"npu")


def back(before: bytes, after: bytes, now: bytes | None = None) -> tuple[bytes, int]:
    """The file without the port, and how many changes were not found; the entry goes through its JSON."""
    entry = Entry.from_json(json.loads(json.dumps(entry_of(before, after, ["npu"]).to_json())))
    done = restored(after if now is None else now, entry)
    assert len(done.found) + len(done.missed) <= len(entry.changes)
    return done.data, len(done.missed)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(BEFORE, AFTER, id="words"),
        pytest.param(b'x = "cuda"', b'x = "npu"', id="no-newline"),
        pytest.param(BEFORE.replace(b"\n", b"\r\n"), AFTER.replace(b"\n", b"\r\n"), id="crlf"),
        pytest.param(BEFORE.replace(b"\n", b"\r"), AFTER.replace(b"\n", b"\r"), id="cr"),
        pytest.param(b"a\nb\n", b"added\na\nb\n", id="line-added-above"),
        pytest.param(b"a", b"a\nadded", id="line-added-below-no-newline"),
        pytest.param(b"a\nb\nc\n", b"a\nc\n", id="line-taken-out"),
        pytest.param(b"run \\\n  --a", b"E=1\n\nrun \\\n  --a \\\n  --b", id="option-added"),
        pytest.param(b"x = f(  # c\n  1)\n", b"x = f(  # c\n  1, 2)\n", id="words-added"),
        pytest.param(b"\xef\xbb\xbfx = '\xe9 cuda'\n", b"\xef\xbb\xbfx = '\xe9 npu'\n", id="not-utf-8"),
        pytest.param(b"  cuda\n", b"\tnpu  \n", id="blanks-too"),
        pytest.param(b"cuda\n\n\n", b"\n\nnpu\n", id="moved"),
        pytest.param(b"", b"a\n", id="from-nothing"),
        pytest.param(b"a\n", b"", id="to-nothing"),
    ],
)
def test_as_the_port_left_it(before: bytes, after: bytes) -> None:
    assert back(before, after) == (before, 0)


def test_as_it_was_before_the_port() -> None:
    assert back(BEFORE, AFTER, BEFORE) == (BEFORE, 0)


EDITS = [
    pytest.param(b"import torch\n", b"import os\nimport torch\n", id="line-added-above"),
    pytest.param(b"other", b"more = 'npu'\nother", id="line-added-between"),
    pytest.param(b'    device = "npu"\n', b'    device = "npu"\nmodel.to("cuda")\nx = "npu"\n', id="lines-appended"),
    pytest.param(b"import torch\n\n", b"", id="lines-taken-out"),
    pytest.param(b"import torch", b"import torch  # 2.13", id="another-line-edited"),
    pytest.param(b".npu()", b".npu(0).eval()", id="behind-the-change"),
    pytest.param(b"model = build", b"network = construct", id="before-the-change"),
    pytest.param(b"    batch = ", b"        batch = ", id="indented"),
]


@pytest.mark.parametrize(("old", "new"), EDITS)
def test_edited_since(old: bytes, new: bytes) -> None:
    now = AFTER.replace(old, new)
    assert now != AFTER
    wanted = BEFORE.replace(old.replace(b'= "npu"', b'= "cuda"').replace(b".npu()", b".cuda()"), new)
    if b".npu(0)" in new:
        wanted = BEFORE.replace(b".cuda()", b".cuda(0).eval()")
    if b'= "npu"\nmodel' in new:
        wanted = BEFORE + b'model.to("cuda")\nx = "npu"\n'
    assert back(BEFORE, AFTER, now) == (wanted, 0)


def test_all_line_endings_changed() -> None:
    assert back(BEFORE, AFTER, AFTER.replace(b"\n", b"\r\n")) == (BEFORE.replace(b"\n", b"\r\n"), 0)


def test_moved_to_another_place() -> None:
    *rest, last = AFTER.splitlines(keepends=True)
    now = b"".join([last.strip() + b"\n", *rest])
    wanted = b'device = "cuda"\n' + BEFORE.replace(b'    device = "cuda"\n', b"")
    assert back(BEFORE, AFTER, now) == (wanted, 0)


@pytest.mark.parametrize(
    ("now", "wanted"),
    [
        (AFTER.replace(b'    device = "npu"\n', b""), BEFORE.replace(b'    device = "cuda"\n', b"")),
        (AFTER.replace(b'device = "npu"', b"pass"), BEFORE.replace(b'device = "cuda"', b"pass")),
        (AFTER.replace(b'device = "npu"', b'print("my npu")'), BEFORE.replace(b'device = "cuda"', b'print("my npu")')),
    ],
    ids=["line-gone", "word-gone", "another-word"],
)
def test_what_is_gone_is_told_and_the_rest_undone(now: bytes, wanted: bytes) -> None:
    assert back(BEFORE, AFTER, now) == (wanted, 1)


PIECES = b'a\nx = f("cuda")[1]\nb\n', b"a\nx = f(get())[1]\nb\n"


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(b'a\nx = f("cuda")[1] + 1\nb\n', id="all-but-a-bracket-gone"),
        pytest.param(b"a\nx = f(got())[1]\nb\n", id="a-word-gone"),
        pytest.param(b"a\nx = ())[1] + f(get\nb\n", id="in-another-order"),
    ],
)
def test_a_line_comes_back_as_a_whole_or_not_at_all(now: bytes) -> None:
    assert len(entry_of(*PIECES, ["npu"]).changes) > 1
    data, missed = back(*PIECES, now)
    assert (data, missed > 0) == (now, True)


def test_a_line_of_several_pieces_that_was_edited_beside_them() -> None:
    assert back(*PIECES, PIECES[1].replace(b"x =", b"y = x =")) == (PIECES[0].replace(b"x =", b"y = x ="), 0)


def test_of_two_edited_lines_that_are_as_like_none_is_guessed() -> None:
    before, after = b'a\nx = "cuda"\nb\n', b'a\nx = "npu"\nb\n'
    now = b'a\ny(x = "npu", 1)\nz(x = "npu", 1)\nb\n'
    assert back(before, after, now) == (now, 1)


def test_lines_that_were_added_go_one_by_one() -> None:
    before, after = b"#!/bin/sh\n\nrun\nmore\n", b"#!/bin/sh\n\nexport A=1\nexport B=1\n\nrun\nmore\n"
    assert back(before, after, after.replace(b"export A=1\n", b"")) == (b"#!/bin/sh\n\nrun\nmore\n", 0)


def test_an_appended_line_after_one_without_a_newline() -> None:
    before, after = b"a\nb\nrun \\\n  --a", b"a\nb\nrun \\\n  --a \\\n  --b"
    assert back(before, after, after + b"\nmore\n") == (before + b"\nmore\n", 0)


def test_another_file_in_its_place() -> None:
    entry = entry_of(BEFORE, AFTER, ["npu"])
    done = restored(b'one = "npu"\ntwo = 2\nthree = 3\nfour = 4\n', entry)
    assert (done.is_another_file, done.found, done.missed) == (True, (), ())


def test_where_it_was_found_and_missed() -> None:
    now = "# 设备\n".encode() + AFTER.replace(b'device = "npu"', b"pass")
    done = restored(now, entry_of(BEFORE, AFTER, ["npu"]))
    assert [(place.line, place.column) for place in done.found] == [(4, 21), (4, 27), (7, 23)]
    assert [place.line for place in done.missed] == [9]


def test_a_file_of_one_long_line_is_quick() -> None:
    before = b'{"source": ["' + b'x.to(\\"cuda\\"); ' * 5_000 + b'"]}'
    after = before.replace(b"cuda", b"npu")
    assert back(before, after) == (before, 0)


def test_many_equal_lines_are_quick() -> None:
    before = b"\n" * 20_000 + b'x = "cuda"\n' * 2_000
    after = b"import a\n" + before.replace(b"cuda", b"npu")
    assert back(before, after) == (before, 0)


@pytest.mark.parametrize(
    "content", [{}, {"targets": 1}, {"targets": [], "before": 0, "lines": "?", "changes": []}, 3, None]
)
def test_what_is_no_entry(content: object) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Entry.from_json(content)
