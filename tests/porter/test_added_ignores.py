"""`--add-ignores`: comments where there are findings, and the code does what it did."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from porter.cli import command
from porter.documents import port_bytes
from porter.port import Plan

ADDS = Plan("npu", adds_ignores=True)

PYTHON = {
    "line": ("torch.cuda.nvtx.mark()\n", "torch.cuda.nvtx.mark()  # port: ignore[DP201]\n"),
    "two-on-a-line": (
        "torch.cuda.nvtx.mark(); torch.cuda.nvtx.mark()\n",
        "torch.cuda.nvtx.mark(); torch.cuda.nvtx.mark()  # port: ignore[DP201]\n",
    ),
    "two-rules": (
        "torch.cuda.nvtx.mark(1); y.double(); x = 'a --device cuda'\n",
        "torch.cuda.nvtx.mark(1); y.double(); x = 'a --device cuda'  # port: ignore[DP115, DP201, DP301]\n",
    ),
    "beside-a-comment": ("torch.cuda.nvtx.mark()  # noqa\n", "torch.cuda.nvtx.mark()  # noqa  # port: ignore[DP201]\n"),
    "into-one": (
        "torch.cuda.nvtx.mark()  # port: ignore[DP104]: why\n",
        "torch.cuda.nvtx.mark()  # port: ignore[DP104, DP201]: why\n",
    ),
    "string": ('run("""\na --device cuda\n""", 1)\n', 'run("""\na --device cuda\n""", 1)  # port: ignore[DP115]\n'),
    "backslash": (
        "x = 1 + \\\n    torch.cuda.nvtx.a + \\\n    2\n",
        "x = 1 + \\\n    torch.cuda.nvtx.a + \\\n    2  # port: ignore[DP201]\n",
    ),
    "string-and-backslash": (
        'x = """\na --device cuda\n""" + \\\n    y\n',
        'x = """\na --device cuda\n""" + \\\n    y  # port: ignore[DP115]\n',
    ),
    "brackets": (
        "f(\n    torch.cuda.nvtx,\n    2,\n)\n",
        "f(\n    torch.cuda.nvtx,  # port: ignore[DP201]\n    2,\n)\n",
    ),
    "windows": ("torch.cuda.nvtx.mark()\r\n", "torch.cuda.nvtx.mark()  # port: ignore[DP201]\r\n"),
    "no-newline": ("torch.cuda.nvtx.mark()", "torch.cuda.nvtx.mark()  # port: ignore[DP201]"),
    "blanks-at-the-end": ("torch.cuda.nvtx.mark()   \n", "torch.cuda.nvtx.mark()  # port: ignore[DP201]\n"),
    "fixes-get-none": ('x.to("cuda")\n', 'x.to("cuda")\n'),
}

OTHERS = {
    "a.yaml": (
        "a:\n  - image: nvidia/cuda:12\n  - run: |\n      nvidia-smi with cuda\n",
        "a:\n  - image: nvidia/cuda:12  # port: ignore[DP414]\n  - run: |\n      nvidia-smi with cuda\n",
    ),
    "pyproject.toml": (
        '[project]\ndependencies = [\n  "xformers",\n]\n',
        '[project]\ndependencies = [\n  "xformers",  # port: ignore[DP415]\n]\n',
    ),
    "a.json": ('{"image": "nvidia/cuda:12"}\n', '{"image": "nvidia/cuda:12"}\n'),
    "a.sh": (
        "nvidia-smi -q \\\n  -x\ncat <<E\nnvidia on cuda\nE\n",
        "nvidia-smi -q \\\n  -x  # port: ignore[DP406]\ncat <<E\nnvidia on cuda\nE\n",
    ),
    "Dockerfile": (
        "FROM nvidia/cuda:12\nRUN a && \\\n    nvidia-smi\n",
        "# port: ignore[DP417]\nFROM nvidia/cuda:12\nRUN a && \\\n    # port: ignore[DP406]\n    nvidia-smi\n",
    ),
    "Makefile": ("X = nvidia\nrun:\n\tnvidia-smi\n", "X = nvidia\nrun:\n\tnvidia-smi  # port: ignore[DP406]\n"),
    "requirements.txt": ("xformers\n", "xformers  # port: ignore[DP416]\n"),
    "a.md": (
        "> ```python\n> torch.cuda.nvtx.a()\n> ```\n\n```bash\nnvidia-smi\n```\n",
        "> ```python\n> torch.cuda.nvtx.a()  # port: ignore[DP201]\n> ```\n\n"
        "```bash\nnvidia-smi  # port: ignore[DP406]\n```\n",
    ),
    "a.cu": ("__global__ void f() {}\n", "__global__ void f() {}  // port: ignore[DP217]\n"),
}


@pytest.mark.parametrize(("before", "after"), PYTHON.values(), ids=PYTHON)
def test_in_python(before: str, after: str) -> None:
    before, after = f"import torch\n{before}", f"import torch\n{after}"
    done = port_bytes("a.py", before.encode(), ADDS)
    assert done.data.decode() == after
    assert ast.dump(ast.parse(after)) == ast.dump(ast.parse(before))
    assert all(one.is_fix for one in done.findings)
    assert port_bytes("a.py", done.data, ADDS).data == done.data
    left = [one for one in port_bytes("a.py", done.data, Plan("npu")).findings if not one.is_fix]
    assert [one for one in left if one.code != "DP117"] == []


def test_codes_do_not_go_into_a_broken_comment() -> None:
    done = port_bytes("a.py", b"import torch\ntorch.cuda.nvtx.mark()  # port: ignore[DP104\n", ADDS)
    assert done.data.endswith(b".mark()  # port: ignore[DP104  # port: ignore[DP201]\n")
    (left,) = [one for one in port_bytes("a.py", done.data, Plan("npu")).findings if not one.is_fix]
    assert left.code == "DP114"


def test_a_requirement_that_goes_on_has_it_where_it_is_over() -> None:
    """Behind a backslash it would cut the requirement in two."""
    done = port_bytes("requirements.txt", b"flash-attn\\\n  ==2.0\nnumpy\n", ADDS)
    assert done.data == b"flash-attn\\\n  ==2.0  # port: ignore[DP416]\nnumpy\n"
    assert port_bytes("requirements.txt", done.data, Plan("npu")).findings == ()


@pytest.mark.parametrize("name", OTHERS)
def test_in_other_kinds_of_files(name: str) -> None:
    before, after = OTHERS[name]
    done = port_bytes(name, before.encode(), ADDS)
    assert done.data.decode() == after
    assert port_bytes(name, done.data, ADDS).data == done.data
    written = {one.code for one in done.findings if one.is_fix}
    left = [one for one in port_bytes(name, done.data, Plan("npu")).findings if not one.is_fix]
    assert not written & {one.code for one in left}
    assert {one.code for one in left} == {one.code for one in done.findings if not one.is_fix}
    if name.endswith(".yaml"):
        assert yaml.safe_load(after) == yaml.safe_load(before)


def test_in_a_notebook() -> None:
    cells = [
        {"cell_type": "code", "source": [source]} for source in ("import torch", "torch.cuda.nvtx.a()\n", "!nvidia-smi")
    ]
    done = port_bytes("a.ipynb", json.dumps({"cells": cells}).encode(), ADDS)
    assert [cell["source"] for cell in json.loads(done.data)["cells"]] == [
        ["import torch"],
        ["torch.cuda.nvtx.a()  # port: ignore[DP201]\n"],
        ["!nvidia-smi  # port: ignore[DP406]"],
    ]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "a.py").write_text('import torch\nx.to("cuda"); torch.cuda.nvtx.mark("here")\ny = torch.cuda.nvtx.a\n')
    return tmp_path


def run(*options: str) -> Result:
    return CliRunner().invoke(command, ["a.py", *options])


def test_the_command(tree: Path) -> None:
    before = (tree / "a.py").read_text()
    done = run("--target", "npu", "--add-ignores", "--diff")
    assert done.exit_code == 1
    assert '+x.to("cuda"); torch.cuda.nvtx.mark("here")  # port: ignore[DP201]' in done.output
    assert (tree / "a.py").read_text() == before
    done = run("--target", "npu", "--add-ignores")
    assert (done.exit_code, "1 file given ignore comments in 2 places." in done.output) == (0, True)
    assert (tree / "a.py").read_text().count("# port: ignore[DP201]") == 2
    assert run("--target", "npu", "--add-ignores").output.startswith("1 file left unchanged.")


def test_a_port_is_undone_all_the_same_and_the_comments_stay(tree: Path) -> None:
    before = (tree / "a.py").read_text()
    assert run("--target", "npu").exit_code == 1
    assert run("--target", "npu", "--add-ignores").exit_code == 0
    assert run("--target", "cuda").exit_code == 0
    lines = [line.removesuffix("  # port: ignore[DP201]") for line in (tree / "a.py").read_text().splitlines()]
    assert lines == before.splitlines()
    assert (tree / "a.py").read_text().count("port: ignore") == 2


def test_what_cannot_be_said_in_a_comment_is_left(tree: Path) -> None:
    (tree / "a.py").unlink()
    (tree / "b.json").write_text('{"image": "nvidia/cuda:12"}\n')
    done = CliRunner().invoke(command, ["b.json", "--target", "npu", "--add-ignores"])
    assert "b.json:1:11: DP414 error" in done.output
    assert "no comment can stand" in done.output


@pytest.mark.parametrize(
    "other", ["--keep-cuda", "--apply-affinity", "--npu-scripts", "--write-baseline", "--explain-skipped", "--record=F"]
)
def test_what_it_does_not_go_with(tree: Path, other: str) -> None:
    done = run("--target", "npu", "--add-ignores", other)
    assert done.exit_code == 2
    assert "--add-ignores" in done.output
    assert not (tree / "F").exists()


def test_a_record_of_the_settings_is_not_asked(tree: Path) -> None:
    """It is where ports are noted, and comments are none."""
    (tree / "pyproject.toml").write_text('[tool.diffsynth-port]\ntarget = "npu"\nrecord = "F"\n')
    assert run("--add-ignores").exit_code == 0
    assert not (tree / "F").exists()
