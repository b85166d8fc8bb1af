"""Shell scripts: bytes in, bytes out, and what is refused."""

from __future__ import annotations

import codecs
import time
from contextlib import suppress

import pytest

from porter.documents import port_bytes
from porter.documents.document import CannotPort
from porter.port import Plan
from tests.porter.documents.bytes_in_out import NPU, check_ported, check_unchanged

LINE, DONE = b"export CUDA_VISIBLE_DEVICES=0", b"export ASCEND_RT_VISIBLE_DEVICES=0"


@pytest.mark.parametrize(
    ("name", "head"),
    [
        pytest.param("run.sh", b"", id="sh"),
        pytest.param("run.bash", b"", id="bash"),
        pytest.param("run.SH", b"", id="upper-case"),
        pytest.param("run", b"#!/bin/bash\n", id="shebang"),
        pytest.param("run", b"#!/bin/sh -e\n", id="shebang-with-option"),
        pytest.param("run", b"#! /usr/bin/env bash\n", id="env"),
        pytest.param("run", b"#!/usr/bin/env -S bash -eu\r\n", id="env-with-options"),
        pytest.param("run.in", b"#!/bin/dash\n", id="another-ending"),
        pytest.param("run.sh", b"#!/usr/bin/env python\n", id="ending-goes-before-shebang"),
        pytest.param("run.sh", codecs.BOM_UTF8, id="byte-order-mark"),
        pytest.param("run.sh", "# 显存 é 🙂\n".encode(), id="utf-8"),
        pytest.param("run.sh", b"\r\n# x\r\n", id="crlf"),
        pytest.param("run.sh", b"# \x0c\x0b\t\n", id="other-blanks"),
        pytest.param("run.sh", "# \u2028\x85\n".encode(), id="other-line-separators"),
    ],
)
@pytest.mark.parametrize("tail", [b"", b"\n", b"\r\n", b"\n\n\n", b" # x"])
def test_every_other_byte_stays(name: str, head: bytes, tail: bytes) -> None:
    check_ported(name, head + LINE + tail, head + DONE + tail)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        pytest.param("run", b"#!/usr/bin/env fish\n#" + LINE, id="fish"),
        pytest.param("run.py", b"#!/bin/sh\n" + b"#" + LINE, id="python-by-its-ending"),
        pytest.param("run.sh", b"", id="empty"),
        pytest.param("run.sh", b"echo a\n", id="nothing-to-do"),
        pytest.param("run.sh", b"if then (\n", id="no-bash-and-nothing-to-do"),
        pytest.param("run.sh", "echo é\n".encode("latin-1"), id="no-utf-8-and-nothing-to-do"),
        pytest.param("run.sh", b"echo \0\n", id="nul-and-nothing-to-do"),
    ],
)
def test_left_alone(name: str, data: bytes) -> None:
    assert check_unchanged(name, data) == ()


@pytest.mark.parametrize(
    ("script", "line", "message"),
    [
        pytest.param(b"if true; then\necho\n", 4, "'fi' is missing", id="open-if"),
        pytest.param(b'\necho "a\n', 3, "", id="open-quote"),
        pytest.param(b"\n)\n", 3, "at ')'", id="bracket"),
        pytest.param(b"x=(1\n", 2, "", id="open-array"),
        pytest.param(b"\necho $(ls\n", 3, "", id="open-substitution"),
        pytest.param(b"for in do done\n", 2, "", id="for"),
    ],
)
def test_a_script_that_does_not_parse(script: bytes, line: int, message: str) -> None:
    with pytest.raises(CannotPort, match=r"^not bash as its grammar has it") as caught:
        port_bytes("run.sh", LINE + b"\n" + script, NPU)
    assert caught.value.line is not None
    assert 2 <= caught.value.line <= script.count(b"\n") + 2
    assert caught.value.line == line or not message
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (LINE + "# é\n".encode("latin-1"), "byte 0xe9 at offset 31 (line 1) is not UTF-8; save the file as UTF-8"),
        ("﻿".encode("utf-16") + LINE, "it is in UTF-16; save it as UTF-8"),
        (LINE + b"\n\0\n", "it holds a NUL byte at offset 30 (line 2), so it is no text"),
    ],
)
def test_bytes_that_are_no_text(data: bytes, message: str) -> None:
    with pytest.raises(CannotPort) as caught:
        port_bytes("run.sh", data, NPU)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(b"(" * 3000 + b")" * 3000, id="brackets"),
        pytest.param(b"echo " + b"$(" * 1000 + b"x" + b")" * 1000, id="substitutions"),
        pytest.param(b"echo a\n" * 50_000, id="long"),
        pytest.param(b"echo '" + b"a" * 2_000_000 + b"'", id="long-string"),
        pytest.param(
            b"".join(b"A%d=$A%d\n" % (n + 1, n) for n in range(2000)) + b"python x.py --device $A2000", id="chain"
        ),
        pytest.param(b"A=$A$A\n" * 40 + b"python x.py --device $A", id="doubling"),
    ],
)
def test_what_breaks_parsers_is_ported_or_refused_in_time(script: bytes) -> None:
    start = time.process_time()
    with suppress(CannotPort):
        assert port_bytes("run.sh", LINE + b"\n" + script + b"\n", NPU).data == DONE + b"\n" + script + b"\n"
    assert time.process_time() - start < 30


def test_other_yaml_is_not_read() -> None:
    for name in ("a.yaml", "a.yml"):
        assert port_bytes(name, b"{: [ MULTI_GPU cuda\xff", NPU).findings == ()


def test_a_configuration_that_is_no_yaml() -> None:
    data = b"compute_environment: X\ndistributed_type: MULTI_GPU\nx: [\n"
    with pytest.raises(CannotPort, match=r"^not YAML: ") as caught:
        port_bytes("a.yaml", data, NPU)
    assert caught.value.line == 4


def test_rules_can_be_chosen() -> None:
    data = LINE + b"\nnvidia-smi\npython x.py --device cuda\n"
    ported = port_bytes("run.sh", data, Plan("npu", codes=frozenset({"DP405"})))
    assert ported.data == data.replace(b"cuda", b"npu")
    assert [finding.code for finding in ported.findings] == ["DP405"]
