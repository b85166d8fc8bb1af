"""A run that asks for no analysis does none, and imports none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from porter.analysis import ANALYSES, analysis_rules
from porter.port import Plan, port_text
from porter.rules import usual_rules

from ..conftest import ROOT, Run

TEXT = "import torch\ndef f(q, k, v):\n    return torch.softmax(q @ k.mT, dim=-1) @ v.cuda()\n"
LOADED = "import sys; from porter.port import Plan, port_text; port_text({text!r}, Plan('npu'))\n"
LOADED += "print([name for name in sys.modules if name.startswith('porter.analysis.')])"


def test_nothing_of_them_is_imported() -> None:
    command = [sys.executable, "-c", LOADED.format(text=TEXT)]
    done = subprocess.run(command, capture_output=True, check=True, cwd=ROOT, text=True)
    assert done.stdout == "[]\n"


def test_a_run_without_the_option_says_nothing_of_it() -> None:
    assert {finding.code for finding in port_text(TEXT, Plan("npu")).findings} == {"DP105"}
    assert not any(rule.analysis for rule in usual_rules())


def test_each_analysis_has_codes_of_its_own() -> None:
    for name, (_, prefix) in ANALYSES.items():
        assert analysis_rules(name)
        assert all(rule.analysis == name and rule.code.startswith(prefix) for rule in analysis_rules(name))


def test_the_options(run: Run, tmp_path: Path) -> None:
    program = tmp_path / "a.py"
    program.write_text(TEXT, encoding="utf-8")
    reported = run("a.py", "--target", "npu", "--check", "--affinity").stdout.decode()
    assert "DP502 note attention written out" in reported
    assert "scaled_dot_product_attention(q, k, v.cuda(), scale=1.0)" in reported
    assert run("a.py", "--target", "npu", "--select", "DP5", "--check").returncode == 0  # a note
    assert run("a.py", "--target", "npu", "--apply-affinity").returncode == 0
    fused = "torch.nn.functional.scaled_dot_product_attention(q, k, v.npu(), scale=1.0)"
    assert program.read_text(encoding="utf-8") == f"import torch\ndef f(q, k, v):\n    return {fused}\n"
    assert run("a.py", "--target", "cuda").returncode == 0
    assert program.read_text(encoding="utf-8") == TEXT


def test_what_does_not_go_together_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(TEXT, encoding="utf-8")
    for options in (
        ("--target", "xpu", "--affinity"),
        ("--target", "cuda", "--dynamic-shapes"),
        ("--target", "npu", "--keep-cuda", "--apply-affinity"),
        ("--target", "cuda", "--packages"),
    ):
        done = run("a.py", *options)
        assert (done.returncode, b"Error: --" in done.stderr) == (2, True), options
