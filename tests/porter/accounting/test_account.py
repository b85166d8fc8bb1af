"""Where each line that names CUDA went."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from porter.accounting.account import Account, account
from porter.accounting.mentions import Reason, file_names_cuda
from porter.documents import port_bytes
from porter.port import Plan
from tests.porter.conftest import Run


def _account(text: str, name: str = "a.py", codes: frozenset[str] | None = None) -> Account:
    data = text.encode()
    ported = port_bytes(name, data, Plan("npu", codes=codes))
    return account(name, data, ported.findings, ported.left_out, codes is not None)


def _reason(text: str, name: str = "a.py") -> Reason:
    """The reason of the last line, which is passed over."""
    found = _account(text, name)
    assert not found.left
    return found.passed_over[-1][1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1  # on cuda", Reason.COMMENT),
        ("x = 1\n# nvidia's", Reason.COMMENT),
        ('"""For NCCL."""', Reason.DOCSTRING),
        ('def f():\n    """For cuda."""', Reason.DOCSTRING),
        ("SAMPLE = r'''\n    >>> x = f(return_tensors=1)\n    >>> x.to(\"cuda\")\n'''", Reason.DOCSTRING),
        ('print("no cuda here")', Reason.MESSAGE),
        ('logger.info(f"cuda {n}")', Reason.MESSAGE),
        ('raise ValueError("a" f"cuda, not {d}")', Reason.MESSAGE),
        ('assert x, "needs cuda"', Reason.MESSAGE),
        ('add_argument("--d", help="cuda or cpu")', Reason.MESSAGE),
        ('prompt = "cuda"', Reason.TEXT),
        ('y = "an old car of NVIDIA parks here"', Reason.SENTENCE),
        ("use_cuda = True", Reason.NAME),
        ("from .cuda_ops import add", Reason.NAME),
        ("def to_cuda(x): ...", Reason.NAME),
        ("f(args.cuda)", Reason.NAME),
        ('if hasattr(torch._C, "_cuda_x"):\n    torch._C._cuda_x()', Reason.ASKED_FOR),
        ("f(cuda=True)", Reason.NAME),
        ("import torch.npu as c\ndef g(c):\n    c.CUDAGraph()", Reason.NAME),
        ('x = options["use_cuda"]', Reason.NAME_IN_STRING),
        ('p = "/usr/local/cuda"', Reason.PATH),
        ('include_dirs = ["/usr/local/cuda/include"]', Reason.PATH),
        ('m = re.match(r"lib/cuda-\\d+", p)', Reason.PATH),
        ('rank_zero_warn("the peak of CUDA")', Reason.MESSAGE),
        ("x.cuda()  # port: ignore", Reason.IGNORED),
        ('names = {"cuda kernel": 1}', Reason.DATA),
        ("except_ = torch.cuda.OutOfMemoryError", Reason.OF_TORCH),
        ("from torch.cuda import OutOfMemoryError", Reason.OF_TORCH),
        ("isinstance(e, (torch.cuda.OutOfMemoryError, ValueError))", Reason.OF_TORCH),
        ('code = """\nset(CMAKE_CUDA_FLAGS -DX)\nadd(-DGOOGLE_CUDA=1)\n"""', Reason.NAME_IN_STRING),
        ('c = "python a.py --use_cuda"', Reason.NAME_IN_STRING),
    ],
)
def test_a_reason_by_what_a_line_holds(text: str, reason: Reason) -> None:
    assert _reason(text) is reason


@pytest.mark.parametrize(
    ("text", "changed", "found"),
    [
        ("x.cuda()  # to cuda", 1, 0),
        ('x.to(\n    "cuda"\n)', 1, 0),
        ('ok = "nvidia" in name.lower()', 0, 1),
        ("torch.cuda.nvtx.range_push(s)", 0, 1),
        ("torch.backends.cuda.matmul.allow_tf32 = True", 0, 1),
    ],
)
def test_what_is_changed_or_found(text: str, changed: int, found: int) -> None:
    result = _account(text)
    assert (len(result.changed), len(result.found), result.passed_over, result.left) == (changed, found, (), ())


def test_a_name_of_torch_that_no_rule_judges_is_left() -> None:
    """What has no reason is never counted as passed over; here a rule is kept from judging."""
    found = account("a.py", b"torch.cuda.empty_cache()\n", ())
    assert [place.line for place in found.left] == [1]


def test_rules_that_were_not_selected() -> None:
    found = _account("x.cuda()\n", codes=frozenset({"DP101"}))
    assert [reason for _, reason in found.passed_over] == [Reason.NOT_SELECTED]


def test_markdown() -> None:
    text = """\
Runs on CUDA.

```python
x.cuda()
y = 1  # cuda
```

```python
>>> x.cuda()
```

```cpp
cudaMalloc(&p, n);
```
"""
    found = _account(text, "r.md")
    assert [place.line for place in found.changed] == [4]
    assert [(place.line, reason) for place, reason in found.passed_over] == [
        (1, Reason.PROSE),
        (5, Reason.COMMENT),
        (9, Reason.SESSION),
        (13, Reason.ANOTHER_LANGUAGE),
    ]


def test_a_notebook() -> None:
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["On CUDA\n"]},
        {
            "cell_type": "code",
            "metadata": {},
            "execution_count": None,
            "source": ["x.cuda()\n", "# cuda\n"],
            "outputs": [{"output_type": "stream", "name": "stdout", "text": ["cuda:0\n"]}],
        },
    ]
    text = json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    found = _account(text, "n.ipynb")
    assert [(place.cell, place.line) for place in found.changed] == [(2, 1)]
    reasons = [(place.cell, reason) for place, reason in found.passed_over]
    assert reasons == [(2, Reason.COMMENT), (1, Reason.PROSE), (2, Reason.OUTPUT)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("# cuda", Reason.COMMENT),
        ("echo cuda", Reason.MESSAGE),
        ("export USE_CUDA=1", Reason.NAME),
        ("cd /usr/local/cuda", Reason.PATH),
        ("export PATH=/usr/local/cuda/bin:$PATH", Reason.PATH),
        ("export TITLE=cuda", Reason.TEXT),
        ("grep -q cuda log", Reason.PATTERN),
        ("sed -i s/cuda/x/ a.txt", Reason.PATTERN),
        ("python gen_cuda.py", Reason.PATH),
        ("python a.py --use_cuda", Reason.NAME),
        ("python a.py --device cuda # port: ignore", Reason.IGNORED),
    ],
)
def test_a_shell_script(text: str, reason: Reason) -> None:
    assert _reason(text + "\n", "a.sh") is reason


@pytest.mark.parametrize(
    ("name", "text", "reasons"),
    [
        ("Dockerfile", "FROM a\nRUN a && \\\n    # port: ignore\n    nvidia-smi\n", {4: Reason.IGNORED}),
        ("Dockerfile", "FROM a\n# port: ignore[DP406]\nRUN nvidia-smi\n", {3: Reason.IGNORED}),
        ("Dockerfile", "# port: ignore[DP417]\nFROM nvidia/cuda:12\n", {2: Reason.IGNORED}),
        ("Makefile", "run:\n\tnvidia-smi \\\n\t  -x  # port: ignore\n", {2: Reason.IGNORED}),
        ("Makefile", "A = cuda  # port: ignore[DP418]\n", {1: Reason.IGNORED}),
        ("a.yaml", "a:\n  - run: nvidia-smi  # port: ignore\n", {2: Reason.IGNORED}),
        ("a.yaml", "a: cuda  # port: ignore[DP418]\n", {1: Reason.IGNORED}),
        ("r.md", "```bash\nnvidia-smi  # port: ignore\n```\n", {2: Reason.IGNORED}),
        ("r.md", "```python\nx = ( # port: ignore\ncuda\n```\n", {3: Reason.UNREADABLE}),
        ("a.cu", "x<<<1, 2>>>(cuda);\n__global__ f // port: ignore[DP217]\n", {1: Reason.ANOTHER_ENGINE}),
        ("a.py", "x.to(\n    'cuda',\n)  # port: ignore\n", {}),  # its place is the string's own line, so it is ported
        ("a.py", "use_cuda = 1  # port: ignore[DP506]\n", {1: Reason.NAME}),
        ("a.sh", "python a.py --device cuda  # port: ignore[DP404]\n", {}),
    ],
)
def test_what_a_comment_ignores_is_what_it_has_left_out(name: str, text: str, reasons: dict[int, Reason]) -> None:
    found = _account(text, name)
    assert not found.left
    assert {place.line: reason for place, reason in found.passed_over} == reasons


def test_an_ignored_line_of_a_cell() -> None:
    cells = [
        {"cell_type": "code", "source": [source]}
        for source in ("x = 1", "!nvidia-smi  # port: ignore", "x.cuda() # port: ignore")
    ]
    found = _account(json.dumps({"cells": cells}), "n.ipynb")
    assert [(place.cell, reason) for place, reason in found.passed_over] == [(2, Reason.IGNORED), (3, Reason.IGNORED)]


def test_files_of_other_kinds(tmp_path: Path) -> None:
    (tmp_path / "k.cu").write_bytes(b"a\n" * 600_000 + b"cudaMalloc")
    (tmp_path / "n.txt").write_bytes(b"nothing here")
    (tmp_path / "b.dat").write_bytes(b"\0cuda")
    (tmp_path / "p.png").write_bytes(b"cuda")
    assert [p.name for p in sorted(tmp_path.iterdir()) if file_names_cuda(str(p))] == ["k.cu"]
    assert not file_names_cuda(str(tmp_path / "none"))


def test_the_command_lists_what_was_passed_over(tmp_path: Path, run: Run) -> None:
    (tmp_path / "a.py").write_text('use_cuda = True\nx.cuda()\nok = "nvidia" in n.lower()\n', encoding="utf-8")
    (tmp_path / "k.xyz").write_text("cudaMalloc\n", encoding="utf-8")
    done = run(".", "--target", "npu", "--check", "--explain-skipped")
    text = done.stdout.decode()
    assert "./a.py:1: passed over: a name that the program or a library chose" in text
    assert "./k.xyz: not looked at" in text
    assert "1 other file names CUDA and was not looked at (.xyz 1)." in text
    report = json.loads(run(".", "--target", "npu", "--check", "--explain-skipped", "--format", "json").stdout)
    assert report["not_looked_at"] == ["./k.xyz"]
    assert report["files"][0]["account"] == {
        "changed": [{"cell": None, "line": 2}],
        "found": [{"cell": None, "line": 3}],
        "passed_over": [{"cell": None, "line": 1, "reason": "name"}],
        "left": [],
    }
    refused = run(".", "--target", "cuda", "--explain-skipped")
    assert (refused.returncode, b"--explain-skipped is about a port" in refused.stderr) == (2, True)
