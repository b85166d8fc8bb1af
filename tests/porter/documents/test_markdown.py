"""Markdown: the fenced blocks of Python change, and not a byte besides."""

from __future__ import annotations

import codecs
from textwrap import indent

import pytest

from porter.documents import port_bytes
from porter.documents.document import CannotPort
from porter.port import Plan
from tests.porter.documents.bytes_in_out import CUDA, NPU, check_ported, check_unchanged

HELPER = "from diffsynth.core.device.npu_compatible_device import get_device_name"

PYTHON = [
    "python",
    " python",
    "py",
    "Python",
    "python3",
    "py3",
    'python title="run.py"',
    "python {linenos=true}",
    "python,editable",
    "{.python}",
    "{ .python .numberLines }",
    "{#first .python}",
    "{python}",
    "{python, echo=FALSE}",
]
OTHER = [
    "",
    "diff",
    "bash",
    "text",
    "pycon",
    "python-repl",
    "pytb",
    "cpython",
    "{.bash}",
    "{=html}",
    "jsonpython",
    "python2",
]

DOCUMENT = """# "cuda" on another device

Write `x.to("cuda")`:

{}

    x.to("cuda")

```
x.to("cuda")
```"""


@pytest.mark.parametrize("info", PYTHON)
def test_python_is_ported(info: str) -> None:
    before = DOCUMENT.format(f'```{info}\nx.to("cuda")\n```').encode()
    check_ported("README.md", before, before.replace(b'\nx.to("cuda")', b'\nx.to("npu")', 1))


@pytest.mark.parametrize("info", OTHER)
def test_other_blocks_are_left_alone(info: str) -> None:
    found = check_unchanged("README.md", DOCUMENT.format(f'```{info}\nx.to("cuda")\n```').encode())
    assert {one.code for one in found} <= {"DP418"}  # shell that names a device


LEFT_ALONE = {
    "prompts": "```python\n>>> x.to('cuda')\n```",
    "prompts below an empty line": "```python\n\n  >>> x.to('cuda')\n```",
    "in a block of another language": "````markdown\n```python\nx.to('cuda')\n```\n````",
    "in a comment": "<!--\n```python\nx.to('cuda')\n```\n-->",
    "in an indented block": "    ```python\n    x.to('cuda')\n    ```",
    "without a device": "```python\nx.to('cpu')  # not 'cuda'\n```",
    "what does not parse, without a device": "```python\nx.to(<your device>)\n```",
    "empty block": "```python\n```",
    "nothing": "",
}


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\r"])
@pytest.mark.parametrize("text", LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_with_nothing_to_do_the_same_bytes_come_back(text: str, end: str) -> None:
    data = text.replace("\n", end or "\n").encode() + end.encode()
    assert check_unchanged("a.md", data) == ()
    assert check_unchanged("a.md", codecs.BOM_UTF8 + data) == ()


CODE = """import torch
from diffsynth import Pipe

def load(path):

    s = '''
  é "cuda"
'''
    return Pipe(path, free=torch.cuda.mem_get_info("cuda"),
      device="cuda").cuda()
"""
PORTED = CODE.replace(" Pipe\n", f" Pipe\n{HELPER}\n").replace("torch.cuda", "torch.npu")
PORTED = PORTED.replace('info("cuda")', "info(get_device_name())").replace('e="cuda").cuda', 'e="npu").npu')

#: What stands around a block, and before each of its lines.
AROUND = {
    "nothing": ("```python\n", "", "```\n"),
    "tildes": ("# Title\n\n~~~~ py\n", "", "~~~~\n"),
    "indented fence": ("   ```python\n", "   ", "   ```\n"),
    "indented code": ("```python\n", "        ", "```\n"),
    "list": ("1. First:\n\n   ```python\n", "   ", "   ```\n2. Second\n"),
    "list in a list": ("- a\n  - b\n\n    ```python\n", "    ", "    ```\n\n  ```bash\n"),
    "item's line": ("* ```python\n", "  ", "  ```\n"),
    "tabs": ("- a\n\n\t```python\n", "\t", "\t```\n"),
    "quote": ("> ```python\n", "> ", "> ```\n\n'cuda'\n"),
    "quote in a list": ("- > a\n  > ```python\n", "  > ", "  > ```\n"),
    "never closed": ("```python\n", "", ""),
}


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(("above", "left", "below"), AROUND.values(), ids=AROUND)
def test_a_block_wherever_it_stands(above: str, left: str, below: str, newline: str) -> None:
    before, after = (
        (above + indent(code, left, lambda line: line.strip() != "" or ">" in left) + below)
        .replace("\n", newline)
        .encode()
        for code in (CODE, PORTED)
    )
    check_ported("a.markdown", before, after)
    check_ported("a.markdown", codecs.BOM_UTF8 + before, codecs.BOM_UTF8 + after)
    check_ported("a.markdown", before.rstrip(), after.rstrip())


def test_an_import_is_added_to_a_last_line_without_an_end() -> None:
    before = '> ```python\n> for _ in torch.cuda.mem_get_info("cuda"):\n>     from diffsynth import Pipe'
    after = before.replace("torch.cuda", "torch.npu").replace('"cuda"', "get_device_name()") + f"\n>     {HELPER}"
    check_ported("a.md", before.encode(), after.encode())


def test_each_block_is_a_unit() -> None:
    block = "```python\nfrom diffsynth import Pipe\nfree = torch.cuda.mem_get_info({})\n```\n"
    alone = '```python\nfree = torch.cuda.mem_get_info("cuda")\n```\n'
    before = block.format('"cuda"') + alone
    after = block.format("get_device_name()").replace("Pipe\n", f"Pipe\n{HELPER}\n") + alone.replace('"cuda"', '"npu"')
    check_ported("a.md", before.encode(), after.replace("torch.cuda", "torch.npu").encode())


def test_a_block_that_does_not_parse_is_noted_and_the_rest_goes_on() -> None:
    text = "# A\n\n> ```python\n> x.to('{0}')\n> ```\n"
    text += "```python\n\npipe = Pipe('cuda', <yours>)\n```\n- ```py\n  y.to('{0}')"
    [first, note, last] = check_ported("a.md", text.format("cuda").encode(), text.format("npu").encode())
    assert (note.code, note.severity, note.line, note.column) == ("DP110", "note", 8, 1)
    assert note.message == "this Python block does not parse, so it was left as it is (syntax error: invalid syntax)"
    assert [(f.line, f.column, f.end_line, f.end_column) for f in (first, last)] == [(4, 8, 4, 14), (11, 8, 11, 14)]


def test_the_note_can_be_left_out() -> None:
    data = b"```python\nx.to('cuda') <\n```\n"
    assert [finding.code for finding in port_bytes("a.md", data, NPU).findings] == ["DP110"]
    assert port_bytes("a.md", data, Plan("npu", codes=frozenset({"DP101"}))).findings == ()
    asked = b"```python\nx.to('cuda') <  # port: ignore[%s]\n```\n"
    assert port_bytes("a.md", asked % b"DP110", NPU).findings == ()
    assert [finding.code for finding in port_bytes("a.md", asked % b"DP101", NPU).findings] == ["DP110"]


def test_undo_beside_cuda_is_refused() -> None:
    data = b"```python\nx.to('npu')\n```\n```python\nx.to('cuda')\n```\n"
    ported = port_bytes("a.md", data, CUDA)
    assert ported.data is data
    assert [(finding.code, finding.line) for finding in ported.findings] == [("DP109", 1)]


def test_undo_goes_by_what_was_ported() -> None:
    """A block that does not parse was not ported, so what it names is no reason against undoing the others."""
    data = b"```python\nx.to('npu')\n```\n```python\ny.to('cuda') <\n```\n"
    assert port_bytes("a.md", data, CUDA).data == data.replace(b"npu", b"cuda")


@pytest.mark.parametrize(
    ("data", "message", "line"),
    [
        (b"a\n\xe9", "byte 0xe9 at offset 2 (line 2) is not UTF-8; save the file as UTF-8", 2),
        ("a".encode("utf-16"), "it is in UTF-16; save it as UTF-8", None),
        (b"```python\n\0\n```", "it holds a NUL byte at offset 10 (line 2), so it is no text", 2),
    ],
)
def test_one_clear_sentence(data: bytes, message: str, line: int | None) -> None:
    with pytest.raises(CannotPort) as caught:
        port_bytes("a.md", data, NPU)
    assert (str(caught.value), caught.value.line) == (message, line)
