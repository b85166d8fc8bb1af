"""The third-party packages of a tree, in an environment that the test makes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ...conftest import Run

SOURCES = {
    "plain_one": "def f(x):\n    return x\n",
    "calls_it": "import torch\ndef f(x):\n    torch.cuda.empty_cache()\n    return x.cuda()\n",
    "lacks_it": "import torch\ndef f(x):\n    return torch.nn.DataParallel(x)\n",
    "knows_npu": "import torch\nimport torch_npu\ndef f(x):\n    return x.cuda()\n",
}


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A folder of packages, with metadata, and a Python that looks there."""
    packages = tmp_path / "environment" / "packages"
    for name, text in SOURCES.items():
        (packages / name / "tests").mkdir(parents=True)
        (packages / name / "__init__.py").write_text(
            f"raise SystemExit('{name} was imported')\n{text}", encoding="utf-8"
        )
        (packages / name / "tests" / "test_it.py").write_text('x.to("cuda")\n', encoding="utf-8")
        metadata = packages / f"{name}-1.2.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n", encoding="utf-8")
        (metadata / "top_level.txt").write_text(f"{name}\n", encoding="utf-8")
    (tmp_path / "environment" / ".gitignore").write_text("*\n", encoding="utf-8")
    python = tmp_path / "environment" / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{packages}" exec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    tree = tmp_path / "tree"
    (tree / "own").mkdir(parents=True)
    (tree / "own" / "__init__.py").write_text("", encoding="utf-8")
    imports = "import os, own, torch\nimport plain_one\nfrom calls_it import f\nimport lacks_it\nimport knows_npu\n"
    (tree / "main.py").write_text(
        f"{imports}import flash_attn\nimport nobody_has_it\nfrom . import sibling\n", encoding="utf-8"
    )
    return python


def survey(run: Run, python: Path, *options: str) -> dict:
    done = run(
        "tree", "--target", "npu", "--check", "--packages", "--python", str(python), "--format", "json", *options
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def test_each_package_has_a_verdict(run: Run, environment: Path) -> None:
    rows = {row["package"]: row for row in survey(run, environment)["packages"]}
    assert {name: (row["version"], row["verdict"]) for name, row in rows.items() if name != "torch"} == {
        "plain_one": ("1.2", "no CUDA"),
        "calls_it": ("1.2", "ported by npu_compat"),
        "lacks_it": ("1.2", "has to be ported"),
        "knows_npu": ("1.2", "supports npu itself"),
        "flash_attn": (None, "CUDA only"),
        "nobody_has_it": (None, "not installed"),
    }
    assert rows["torch"]["verdict"] == "the framework"
    assert {call["name"] for call in rows["calls_it"]["calls"]} == {"torch.cuda.empty_cache", ".cuda()"}
    assert "npu_fusion_attention" in rows["flash_attn"]["way_out"]
    assert rows["calls_it"]["first"]["line"] == 3


def test_what_it_finds_stands_where_the_package_is_imported(run: Run, environment: Path) -> None:
    (report,) = [one for one in survey(run, environment)["files"] if one["path"] == "tree/main.py"]
    found = [(one["code"], one["severity"], one["line"]) for one in report["findings"]]
    assert found == [("DP701", "note", 3), ("DP701", "warning", 4), ("DP203", "error", 6), ("DP702", "note", 7)]
    (report,) = [one for one in survey(run, environment, "--ignore", "DP7")["files"] if one["path"] == "tree/main.py"]
    assert [one["code"] for one in report["findings"]] == ["DP203"]


def test_a_comment_leaves_it_out(run: Run, environment: Path) -> None:
    main = environment.parent.parent / "tree" / "main.py"
    text = main.read_text(encoding="utf-8")
    for name, comment in (("lacks_it", "ignore[DP701]"), ("nobody_has_it", "ignore[DP701]")):
        text = text.replace(f"import {name}\n", f"import {name}  # port: {comment}\n")
    main.write_text(text, encoding="utf-8")
    (report,) = [one for one in survey(run, environment)["files"] if one["path"] == "tree/main.py"]
    assert [one["code"] for one in report["findings"]] == ["DP701", "DP203", "DP702"]


def test_people_get_a_table(run: Run, environment: Path) -> None:
    done = run("tree", "--target", "npu", "--check", "--packages", "--python", str(environment))
    lines = done.stdout.decode().splitlines()
    assert any(line.split()[:3] == ["package", "version", "verdict"] for line in lines)
    assert any(line.startswith("calls_it") and "torch.cuda.empty_cache (1)" in line for line in lines)


def test_a_python_that_cannot_be_asked_is_refused(run: Run, environment: Path) -> None:
    done = run("tree", "--target", "npu", "--check", "--packages", "--python", "no/such/python")
    assert done.returncode == 2
    assert b"--python no/such/python" in done.stderr
    done = run("tree", "--target", "npu", "--check", "--python", str(environment))
    assert (done.returncode, b"--packages" in done.stderr) == (2, True)


def test_it_is_off_by_default(run: Run, environment: Path) -> None:
    done = run("tree", "--target", "npu", "--check", "--format", "json")
    assert "packages" not in json.loads(done.stdout)
