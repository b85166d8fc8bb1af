"""Files that break parsers: each is ported, or refused with one clear sentence; none takes the process down."""

from __future__ import annotations

import time
from collections.abc import Iterator

import libcst
import pytest

from porter.documents import port_bytes
from porter.documents.document import CannotPort
from porter.port import Plan
from porter.refused_texts import NESTS_TOO_DEEPLY
from tests.porter.documents.bytes_in_out import NPU, check_ported

LINE = "x.to('cuda')\n"
DONE = "x.to('npu')\n"

BRACKETS = "brackets nest more than 200 deep, which no Python accepts"


@pytest.fixture(autouse=True)
def _in_time() -> Iterator[None]:
    """What hangs a parser would otherwise be noticed by nobody. The limit is that of a slow machine."""
    start = time.process_time()
    yield
    assert time.process_time() - start < 60


def refusal(source: str | bytes) -> CannotPort:
    """Why a source cannot be ported: one line."""
    with pytest.raises(CannotPort) as caught:
        port_bytes("a.py", source.encode() if isinstance(source, str) else source, NPU)
    assert "\n" not in str(caught.value)
    return caught.value


def ported_or_refused(source: str) -> str:
    try:
        return port_bytes("a.py", source.encode(), NPU).data.decode()
    except CannotPort as error:
        return str(error)


SYNTAX_ERRORS = {
    "open bracket": ("y = (\n", 2),
    "two operators": ("y = = 1\n", 2),
    "merge conflict": ("<<<<<<< HEAD\ny = 1\n", 2),
    "inconsistent dedent": ("if y:\n        a\n    b\n", 4),
    "tabs against spaces": ("if y:\n        a\n\tb\n", 4),
    "open string": ("y = 'a\n", 2),
    "open triple string": ("y = '''a\n", 2),
    "unexpected indent": ("  y = 1\n", 2),
    "lone backslash": ("y = \\ 1\n", 2),
    "backslash at the end": ("y = 1 + \\", 2),
    "no-break space": ("y\u00a0= 1\n", 2),
    "control-Z": ("\x1a", 2),
    "IPython": ("%matplotlib inline\n", 2),
    "JSON with true": ('{"a": true} {\n', 2),
    "a hundred indents": ("".join(" " * depth + "if y:\n" for depth in range(101)) + " " * 101 + "y\n", 102),
}


@pytest.mark.parametrize(("source", "line"), SYNTAX_ERRORS.values(), ids=SYNTAX_ERRORS)
def test_syntax_error(source: str, line: int) -> None:
    error = refusal(LINE + source)
    assert str(error).startswith("syntax error: ")
    assert error.line is not None
    assert abs(error.line - line) <= 1  # where a statement is not finished, releases differ by a line


PYTHON_2 = {
    "print": "print 'a'\n",
    "print of a name": "print x\n",
    "print to a file": "import sys\nprint >>sys.stderr, 'a', x\n",
    "print to a file, in brackets": "print >>(f), 'a'\n",
    "exec": "exec 'y = 1'\n",
    "exec in": "exec (code) in scope\n",
    "backticks": "y = `x`\n",
    "except with print": "try:\n    y\nexcept IOError, e:\n    print >>f, e\n",
    "except with print of a string": "try:\n    y\nexcept IOError, e:\n    print 'failed'\n",
    "except with backticks": "try:\n    y\nexcept IOError, e:\n    y = `e`\n",
    "octal": "y = 0777\n",
    "except with octal": "try:\n    y\nexcept IOError, e:\n    y = 0777\n",
    "unequal": "if x <> y: pass\n",
    "raise": "raise ValueError, 'a'\n",
}


@pytest.mark.parametrize("source", PYTHON_2.values(), ids=PYTHON_2)
def test_python_2(source: str) -> None:
    error = refusal(LINE + source)
    assert str(error).startswith("Python 2 source (")
    assert str(error).endswith("): convert it to Python 3 first")


@pytest.mark.parametrize("depth", [201, 300, 3000, 100_000])
@pytest.mark.parametrize("brackets", ["[]", "()", "{}"])
def test_brackets(depth: int, brackets: str) -> None:
    error = refusal(f"{LINE}y = {brackets[0] * depth}{brackets[1] * depth}\n")
    assert (str(error), error.line) == (BRACKETS, 2)


def test_brackets_of_other_kinds() -> None:
    assert str(refusal(LINE + "f(a[{" * 1000)) == BRACKETS
    assert str(refusal(LINE + "f(\n" * 1000)) == BRACKETS


def test_as_many_brackets_as_python_takes() -> None:
    nest = "[" * 199 + "]" * 199
    source = f"{LINE}y = {nest}\nz = '{'[' * 500}'  # {'[' * 500}\nf({nest[1:-1]}).cuda()\n"
    check_ported("a.py", source.encode(), source.replace("cuda", "npu").encode())


@pytest.mark.parametrize(
    "source",
    [
        "not " * 100_000 + "y",
        "-" * 100_000 + "y",
        "y" + ".a" * 100_000,
        "y" + "()" * 100_000,
        "await " * 100_000 + "y",
        "lambda: " * 100_000 + "y",
        "y" + " if y else y" * 20_000,
        "1" + "+1" * 100_000,
        "1" + "**1" * 20_000,
        "x = " * 50_000 + "1",
        "''" * 20_000,
        "if y: pass\n" + "elif y: pass\n" * 20_000,
        "f'" + "{y:" * 5000 + "}" * 5000 + "'",
    ],
    ids=lambda source: source[:12].strip(),
)
def test_nesting_without_brackets(source: str) -> None:
    """Python releases differ in what they can read; what none may do is crash."""
    result = ported_or_refused(f"{LINE}{source}\n")
    assert result in (f"{DONE}{source}\n", NESTS_TOO_DEEPLY) or result.startswith("syntax error: ")


@pytest.mark.parametrize("source", ["y = 'cuda:'" + " + s" * 700, "y = x" + ".to(s)" * 500 + ".cuda()"], ids=len)
def test_a_new_name_in_a_long_expression(source: str) -> None:
    check_ported("a.py", (LINE + source).encode(), (DONE + source.replace("cuda", "npu")).encode())


def test_an_expression_too_long_for_libcst_is_left_to_a_person() -> None:
    source = "y = x" + ".to(s)" * 500 + ".cuda()"
    ported = port_bytes("a.py", source.encode(), Plan("mps"))  # which has no such method: a call is put together
    assert ported.data == source.encode()
    [report] = ported.findings
    assert (report.severity, report.line) == ("error", 1)
    assert report.message.endswith(", but it nests too deeply for libcst")


STATEMENT = "pipe = load('models/Wan-AI/Wan2.1-T2V-14B/diffusion_pytorch_model.safetensors', dtype)  # 14 billion\n"


def test_five_megabytes_of_statements() -> None:
    many = STATEMENT * (5 * 2**20 // len(STATEMENT))
    ported = port_bytes("a.py", (many + LINE).encode(), NPU)
    assert ported.data == (many + DONE).encode()
    assert [finding.line for finding in ported.findings] == [many.count("\n") + 1]


def test_five_megabytes_with_nothing_to_do_cost_nothing() -> None:
    data = (STATEMENT * (5 * 2**20 // len(STATEMENT))).encode()
    start = time.process_time()
    assert port_bytes("a.py", data, NPU).data is data
    assert time.process_time() - start < 5


def test_five_megabytes_of_statements_with_a_syntax_error() -> None:
    many = STATEMENT * (5 * 2**20 // len(STATEMENT))
    error = refusal(f"{LINE}{many}y = = 1\n")
    assert str(error).endswith("; too long to be tried as newer syntax")
    assert error.line == many.count("\n") + 2


@pytest.mark.parametrize("quote", ["'''", "'"])
def test_a_string_of_five_megabytes(quote: str) -> None:
    text = "cuda [( " * (5 * 2**20 // 8)
    assert ported_or_refused(f"y = {quote}{text}{quote}\n{LINE}") == f"y = {quote}{text}{quote}\n{DONE}"


def test_a_line_of_one_megabyte() -> None:
    names = "'diffusion_pytorch_model-00001-of-00006.safetensors', " * (2**20 // 54)
    before = f"y = [a.to('cuda'), {names}a.to('cuda')]"
    check_ported("a.py", before.encode(), before.replace("cuda", "npu").encode())


CODE = (
    "import torch\n\x0cdef run(model):\n    s = '''a\n  b'''\n    return model.to(\n        'cuda'\n    )\n\x0c\n"
    + LINE
)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "gbk"])
@pytest.mark.parametrize("end", ["", "\n", "\x0c"])
def test_line_endings_marks_cookies_and_form_feeds(newline: str, encoding: str, end: str) -> None:
    cookie = "# coding: latin-1\n# é\n" if encoding == "latin-1" else f"# coding: {encoding}\n# à\n"
    before = (cookie + CODE + end).replace("\n", newline)
    check_ported("a.py", before.encode(encoding), before.replace("'cuda'", "'npu'").encode(encoding))


@pytest.mark.parametrize(
    "source",
    [b"# \xff\n", b"y = '\0'\n", LINE.encode("utf-16"), b"# coding: klingon\n"],
    ids=lambda source: repr(source[:12]),
)
def test_no_text(source: bytes) -> None:
    assert str(refusal(source)).startswith(
        ("byte 0xff at offset 2 ", "it holds a NUL ", "it is in UTF-16", "its coding cookie")
    )


#: Syntax that came with a release, and a device within or beside it.
NEWER = {
    "3.10 match": "match x:\n    case 'cuda':\n        y.to('cuda')\n",
    "3.11 except*": "try:\n    y.to('cuda')\nexcept* (OSError, ValueError) as group:\n    z.cuda()\n",
    "3.11 star in an index": "y = a[*b].to('cuda')\n",
    "3.11 star in an annotation": "def f(*args: *Ts): return y.to('cuda')\n",
    "3.12 type alias": "type Pair[T] = tuple[T, T]\ny.to('cuda')\n",
    "3.12 type parameters": "def f[T: (int, str), *Ts, **P](x: T, device='cuda') -> T:\n    return x.to('cuda')\n",
    "3.12 class": "class A[T](B):\n    device = 'cuda'\n",
    "3.12 same quotes in an f-string": "y.to(f'cuda:{ranks['local']}')\n",
    "3.12 device in an f-string": "print(f'{y.to('cuda')} {z.cuda()}')\n",
    "3.12 device in a nested f-string": "print(f'{f'{y.to('cuda')}'}')\n",
    "3.12 backslash in an f-string": "print(f\"{'\\n'.join(y.to('cuda'))}\")\n",
    "3.12 comment in an f-string": "print(f'''{\n    y.to('cuda')  # here\n}''')\n",
    "3.12 line break in an f-string": "print(f'{\n    y.to(\n        'cuda')}')\n",
    "3.13 defaults of type parameters": "class A[T = int]:\n    device = 'cuda'\n",
    "3.14 template string": "y = t'{x} {z.to('cuda')}'\nz.cuda()\n",
    "3.14 except without brackets": "try:\n    y.to('cuda')\nexcept OSError, ValueError:\n    pass\n",
    "3.15 lazy import": "lazy import torch\nlazy from torch import nn\ny.to('cuda')\n",
}


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("source", NEWER.values(), ids=NEWER)
def test_syntax_newer_than_the_running_python(source: str, newline: str) -> None:
    before = source.replace("\n", newline)
    if "lazy" in source and not hasattr(libcst, "LazyImport"):
        pytest.skip("this libcst does not know lazy imports")
    check_ported("a.py", before.encode(), before.replace("cuda", "npu").encode())


def test_a_document_goes_on_where_a_file_would_not() -> None:
    deep = "[" * 300
    text = f"```python\n{LINE}```\n```python\n'cuda' {deep}\n```\n```python\n{LINE}```\n"
    ported = port_bytes("a.md", text.encode(), Plan("npu"))
    assert ported.data == text.replace(LINE, DONE).encode()
    assert [finding.code for finding in ported.findings] == ["DP101", "DP110", "DP101"]
