"""Python files: bytes in, bytes out, in every encoding and with every line ending."""

from __future__ import annotations

import codecs
import subprocess
import sys

import pytest

from porter.documents import port_bytes
from porter.documents.document import CannotPort
from porter.port import Plan
from tests.porter.documents.bytes_in_out import NPU, check_ported, check_unchanged

LINE = b'x.to("cuda")'
DONE = b'x.to("npu")'
CHINESE = "# 显存"

#: What stands before a line to port, and must come back as it was.
HEADS = {
    "nothing": b"",
    "byte order mark": codecs.BOM_UTF8,
    "mark and cookie": codecs.BOM_UTF8 + b"# coding: utf-8\n",
    "mark and utf-8-sig": codecs.BOM_UTF8 + b"# coding: utf-8-sig\n",
    "utf-8 by another name": "# coding: utf8\n# é\n".encode(),
    "latin-1": "# -*- coding: latin-1 -*-\n# é\n".encode("latin-1"),
    "gbk": f"# -*- coding: gbk -*-\n{CHINESE}\n".encode("gbk"),
    "shift_jis with a backslash in a character": "# coding: shift_jis\n# \u30bd\n".encode("shift_jis"),
    "stateful hz": f"# coding: hz\n{CHINESE}\n".encode("hz"),
    "vim's cookie": "# vim: set fileencoding=cp1252 :\n# \u20ac\n".encode("cp1252"),
    "cookie in line 2": "#!/usr/bin/env python\n# coding: latin-1\n# é\n".encode("latin-1"),
    "cookie below an undecodable comment": "# é\n# coding: latin-1\n".encode("latin-1"),
    "cookie in an undecodable comment": "# é coding: latin-1\n".encode("latin-1"),
    "cookie below an empty line": "\n# coding: latin-1\n# é\n".encode("latin-1"),
    "cookie before CR": "# coding: latin-1\r# é\r".encode("latin-1"),
    "cookie in line 2 before CR": "\r# coding: latin-1\r# é\r".encode("latin-1"),
    "cookie in line 2 before CRLF": "\r\n# coding: latin-1\r\n# é\r\n".encode("latin-1"),
    "cookie that is none, below code": "x = 1\n# coding: latin-1\n# é\n".encode(),
    "cookie that is none, in line 3": "\n\n# coding: latin-1\n# é\n".encode(),
    "CRLF": b"import torch\r\n",
    "CR": b"import torch\r",
    "every line ending": b"a = 1\r\nb = 2\rc = 3\nd = 4\r\r\n",
    "form feed": b"a = 1\n\x0c\nb = 2\n\x0c",
    "vertical tab and other separators in a comment": "# \x0b \x1c \x85 \u2028\n".encode(),
    "tabs": b"if 1:\n\ty = 2\n",
    "emoji": "s = '\U0001f680'; ".encode(),
}


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\r", b"\n\n\n", b"\n  ", b"\n\x0c"])
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_only_the_device_changes(head: bytes, end: bytes) -> None:
    check_ported("a.py", head + LINE + end, head + DONE + end)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_without_a_device_the_same_bytes_come_back(head: bytes, end: bytes) -> None:
    check_unchanged("a.py", head + b'x.to("cpu")  # not "cuda"' + end)


@pytest.mark.parametrize("data", [b"", b"\n", b"\r", b" ", b"\x0c", codecs.BOM_UTF8, b"# nothing", b"\\\n"])
def test_next_to_nothing(data: bytes) -> None:
    check_unchanged("a.py", data)


@pytest.mark.parametrize("name", ["a.py", "a.pyi", "a.pyw", "A.PY", "script", "-", "notes.mdx", "folder.md/a"])
def test_whatever_is_no_other_document_is_python(name: str) -> None:
    check_ported(name, LINE, DONE)


def test_places_count_in_the_file() -> None:
    [finding] = check_ported(
        "a.py", codecs.BOM_UTF8 + "é = 1\r\n文 = 'cuda'".encode(), codecs.BOM_UTF8 + "é = 1\r\n文 = 'npu'".encode()
    )
    assert (finding.line, finding.column, finding.end_column, finding.cell) == (2, 5, 11, None)


def test_an_added_import_has_the_line_ending_of_its_neighbour() -> None:
    script = "from diffsynth import Pipe{0}x = torch.cuda.mem_get_info('cuda'){0}"
    helper = "from diffsynth.core.device.npu_compatible_device import get_device_name"
    for newline in "\n", "\r\n", "\r":
        ported = port_bytes("a.py", script.format(newline).encode(), NPU)
        assert ported.data.decode().split(newline)[1] == helper
        assert "\n" not in ported.data.decode().replace(newline, "")


CANNOT = {
    "not UTF-8": (b"a = 1\r\n# caf\xe9\n", "byte 0xe9 at offset 12 (line 2) is not UTF-8; save the file as UTF-8", 2),
    "mark, not UTF-8": (
        codecs.BOM_UTF8 + b"# caf\xe9",
        "byte 0xe9 at offset 8 (line 1) is not UTF-8; save the file as UTF-8",
        1,
    ),
    "cut short": ("x = '显".encode()[:-1], "byte 0xe6 at offset 5 (line 1) is not UTF-8; save the file as UTF-8", 1),
    "not ASCII": (
        b"# coding: ascii\n# \xe9",
        "byte 0xe9 at offset 18 (line 2) is not ASCII; save the file as UTF-8",
        2,
    ),
    "not GBK": (b"# coding: gbk\n# \xff", "byte 0xff at offset 16 (line 2) is not GBK; save the file as UTF-8", 2),
    "unknown cookie": (b"# coding: klingon\n", "its coding cookie names 'klingon', which is no encoding", 1),
    "unknown cookie in line 2": (
        b"\r# coding: klingon\r",
        "its coding cookie names 'klingon', which is no encoding",
        2,
    ),
    "cookie that is no encoding of text": (b"# coding: rot13\n", "it cannot be read as rot-13; save it as UTF-8", None),
    "cookie that turns the text into another": (
        b"# coding: cp037\n",
        "its coding cookie says cp037, in which there is no such cookie; save it as UTF-8",
        None,
    ),
    "bytes that do not come back": (
        b"# coding: unicode_escape\nx = '\\x41'\n",
        "its text does not come back the same from unicode-escape; save it as UTF-8",
        None,
    ),
    "mark against cookie": (
        codecs.BOM_UTF8 + b"\n# coding: gbk\n",
        "it has the byte order mark of UTF-8, but its coding cookie says gbk",
        2,
    ),
    "half of a surrogate pair": (
        b"# coding: raw_unicode_escape\nx = '\\ud800'\n",
        "it holds half of a surrogate pair, which is no character",
        None,
    ),
    "UTF-16 with a mark": (LINE.decode().encode("utf-16"), "it is in UTF-16; save it as UTF-8", None),
    "UTF-16 little": (LINE.decode().encode("utf-16-le"), "it is in UTF-16; save it as UTF-8", None),
    "UTF-16 big": (LINE.decode().encode("utf-16-be"), "it is in UTF-16; save it as UTF-8", None),
    "UTF-16 without NUL": (codecs.BOM_UTF16_BE + "显存".encode("utf-16-be"), "it is in UTF-16; save it as UTF-8", None),
    "UTF-32": (LINE.decode().encode("utf-32"), "it is in UTF-32; save it as UTF-8", None),
    "UTF-32 big": (LINE.decode().encode("utf-32-be"), "it is in UTF-32; save it as UTF-8", None),
    "NUL": (b"a = 1\n\0", "it holds a NUL byte at offset 6 (line 2), so it is no text", 2),
    "NUL in a string": (b"a = 'b\0'\n", "it holds a NUL byte at offset 6 (line 1), so it is no text", 1),
    "NUL first": (b"\0\0\0\0\0", "it holds a NUL byte at offset 0 (line 1), so it is no text", 1),
    "syntax": (b"x.to('cuda')\ny = (\n", "syntax error: '(' was never closed", 2),
}


@pytest.mark.parametrize(("data", "message", "line"), CANNOT.values(), ids=CANNOT)
def test_one_clear_sentence(data: bytes, message: str, line: int | None) -> None:
    with pytest.raises(CannotPort) as caught:
        port_bytes("a.py", data, NPU)
    assert (str(caught.value), caught.value.line) == (message, line)


def test_a_file_with_nothing_to_do_costs_no_import() -> None:
    program = (
        "import sys; from porter.port import Plan; from porter.documents import port_bytes\n"
        "port_bytes('a.py', b'x.to(\"cpu\")', Plan('npu'))\n"
        "print([name for name in ('libcst', 'porter.documents.notebook', 'porter.documents.markdown')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"


def test_undo_of_two_accelerators_is_refused() -> None:
    data = b"a = 'npu'\nb = 'cuda'\n"
    ported = port_bytes("a.py", data, Plan("cuda"))
    assert ported.data is data
    assert [finding.code for finding in ported.findings] == ["DP109"]
