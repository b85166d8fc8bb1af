"""Which changes are safe, what is done with the others, and that every format says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from porter.cli import command
from porter.documents import port_bytes
from porter.findings import SAFE, UNSAFE, Finding
from porter.port import Plan, port_text

from .conftest import ROOT

SURE = {
    "method": 'x.to("cuda")',
    "keyword": 'build(device="cuda")',
    "function-of-torch": 'import torch\ntorch.zeros(3, "cuda")',
    "function-says-so": 'move_to_device(x, "cuda")',
    "parameter-of-the-file": 'def build(model, device):\n    pass\nbuild(m, "cuda")',
    "parameter-of-its-method": 'class A:\n    def build(self, device): ...\nA().build("cuda")',
    "parameter-of-its-class": 'class A:\n    def __init__(self, device): ...\nA("cuda")',
    "number": 'build("cuda:0")',
    "f-string": 'build(f"cuda:{i}")',
    "beside-the-host": 'x = "cuda" if there else "cpu"',
    "among-devices": 'build(["cuda", "cpu"])',
    "compared-among-devices": 'x in ("cuda", "mps")',
    "compared": 'x.device.type == "cuda"',
    "backend": '{"cuda": "nccl"}',
    "key": '{"device": "cuda"}',
    "variable-used-as-one": 'where = "cuda"\nx.to(where)',
    "default-used-as-one": 'def build(where="cuda"):\n    return x.to(where)',
    "attribute-used-as-one": 'self.where = "cuda"\nrun(device=self.where)',
    "returned": 'def pick_device():\n    return "cuda"',
    "name-of-torch": "import torch\ntorch.cuda.synchronize()",
    "method-cuda": "x.cuda()",
}
UNSURE = {
    "unknown-callee": ('build("cuda")', "build()"),
    "unknown-method": ('a.b.build(1, "cuda")', "build()"),
    "parameter-of-another-name": ('def build(kind):\n    pass\nbuild("cuda")', "build()"),
    "keyword-of-another-name": ('build(kind="cuda")', "kind="),
    "key-of-another-name": ('{"kind": "cuda"}', '"kind"'),
    "variable": ('kind = "cuda"', "kind may"),
    "variable-used-otherwise": ('kind = "cuda"\nload(kind)', "kind may"),
    "default": ('def build(kind="cuda"): ...', "kind may"),
    "compared": ('if kind == "cuda": ...', "kind may"),
    "returned": ('def pick():\n    return "cuda"', "pick()"),
}


def findings(text: str, **how: bool) -> list[Finding]:
    return [
        one for one in port_text(text, Plan("npu", **how)).findings if one.code in ("DP101", "DP102", "DP104", "DP105")
    ]


@pytest.mark.parametrize("text", SURE.values(), ids=SURE)
def test_safe_where_the_place_says_that_a_device_is_meant(text: str) -> None:
    found = findings(text)
    assert [one.severity for one in found] == ["fix"] * len(found) != []
    assert {one.applicability for one in found} == {SAFE}
    assert port_text(text, Plan("npu", unsafe=False)).text == port_text(text, Plan("npu")).text != text


@pytest.mark.parametrize(("text", "named"), UNSURE.values(), ids=UNSURE)
def test_unsafe_where_nothing_does(text: str, named: str) -> None:
    (one,) = findings(text)
    assert (one.severity, one.applicability) == ("fix", UNSAFE)
    assert named in one.way_out
    assert port_text(text, Plan("npu")).text == text.replace('"cuda"', '"npu"')
    (left,) = findings(text, unsafe=False)
    assert (left.severity, left.applicability) == ("warning", UNSAFE)
    assert "--unsafe-fixes" in left.way_out
    assert port_text(text, Plan("npu", unsafe=False)).text == text


def test_one_that_is_not_made_carries_its_edit() -> None:
    for name, text in (("a.py", 'x = 1; build("cuda")\n'), ("a.md", '```python\nx = 1; build("cuda")\n```\n')):
        done = port_bytes(name, text.encode(), Plan("npu", unsafe=False, shows_edits=True))
        (finding,) = done.findings
        (edit,) = finding.edits
        line = text.splitlines()[edit.line - 1]
        assert line[: edit.column - 1] + edit.content + line[edit.end_column - 1 :] == 'x = 1; build("npu")'
        assert done.data == text.encode()


def test_with_keep_cuda_it_stays_too() -> None:
    text = 'import torch\nx.to("cuda")\nbuild("cuda")\n'
    ported = port_text(text, Plan("npu", keep_cuda=True, unsafe=False, shows_edits=True))
    assert ported.text.endswith('x.to(DEVICE)\nbuild("cuda")\n')
    (left,) = [one for one in ported.findings if not one.is_fix]
    assert (left.severity, left.applicability, ported.edits.get(left)) == ("warning", "", None)
    alone = port_text('build("cuda")\n', Plan("npu", keep_cuda=True, unsafe=False))
    assert alone.text == 'build("cuda")\n'


def test_undoing_by_words_takes_back_both() -> None:
    assert port_text('build("npu")\n', Plan("cuda", unsafe=False)).text == 'build("cuda")\n'


def test_a_fused_form_is_unsafe_and_proposed_with_its_edits() -> None:
    text = "import torch\nopt = torch.optim.AdamW(m.parameters(), lr=1e-3)\n"
    codes = frozenset({"DP506"})
    (proposed,) = port_bytes("a.py", text.encode(), Plan("npu", codes=codes, shows_edits=True)).findings
    assert (proposed.severity, proposed.applicability, len(proposed.edits)) == ("note", UNSAFE, 2)
    written = port_bytes("a.py", text.encode(), Plan("npu", codes=codes, applies=True, shows_edits=True))
    assert proposed.edits == written.findings[0].edits
    assert written.findings[0].applicability == UNSAFE
    held = port_bytes("a.py", text.encode(), Plan("npu", codes=codes, applies=True, unsafe=False))
    assert held.data == text.encode()


def test_the_scripts_of_the_guide_have_no_unsafe_change() -> None:
    """So that whoever leaves unsafe changes out gets the guide's scripts all the same."""
    for path in sorted((ROOT / "examples").rglob("*.py")):
        data = path.read_bytes()
        assert (
            port_bytes(str(path), data, Plan("npu", unsafe=False)).data == port_bytes(str(path), data, Plan("npu")).data
        )


def test_the_command_its_settings_and_its_formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.py").write_text('x.to("cuda")\nbuild("cuda")\n')

    def run(*options: str) -> str:
        return CliRunner().invoke(command, ["a.py", "--target", "npu", "--no-record", *options]).output

    assert "a.py:2:7: DP101 [unsafe]" in (shown := run("--check"))
    assert "in 2 places (1 of them unsafe)" in shown
    assert "a.py:2:7: DP101 warning left as it is" in run("--check", "--no-unsafe-fixes")
    result = json.loads(run("--check", "--no-unsafe-fixes", "--format", "sarif"))["runs"][0]["results"][1]
    assert result["properties"] == {"applicability": "unsafe"}
    assert result["fixes"][0]["artifactChanges"][0]["replacements"][0]["insertedContent"] == {"text": "npu"}
    told = json.loads(run("--check", "--format", "json"))
    assert [one["applicability"] for one in told["files"][0]["findings"]] == ["safe", "unsafe"]
    assert (told["summary"]["fixes"], told["summary"]["unsafe"]) == (2, 1)

    (tmp_path / "pyproject.toml").write_text("[tool.diffsynth-port]\nunsafe-fixes = false\n")
    assert "would be rewritten in 1 place. 1 finding: 1 warning." in run("--check")
    assert "(1 of them unsafe)" in run("--check", "--unsafe-fixes")
    run()
    assert (tmp_path / "a.py").read_text() == 'x.to("npu")\nbuild("cuda")\n'


def test_the_hooks_leave_them() -> None:
    hooks = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    assert "entry: diffsynth-port --target npu --no-unsafe-fixes\n" in hooks
    assert "entry: diffsynth-port --check --target npu --no-unsafe-fixes\n" in hooks
