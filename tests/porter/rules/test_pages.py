"""The pages of docs/rules/: what the rules say of themselves, and whether it is true."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from porter.rules import all_rules

ROOT = Path(__file__).parents[3]
TOOL = ROOT / "tools" / "write_rule_pages.py"

REPORTED_ELSEWHERE = {
    "DP109": "when undoing",
    "DP110": "in Markdown",
    "DP116": "beside what is left",
    "DP418": "in what no rule has judged",
    "DP701": "in the survey of packages",
    "DP702": "in the survey of packages",
}

rewriting = pytest.mark.parametrize("rule", [r for r in all_rules() if r.fixes], ids=lambda rule: rule.code)
reporting = pytest.mark.parametrize("rule", [r for r in all_rules() if not r.fixes], ids=lambda rule: rule.code)


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("write_rule_pages", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_those_of_the_rules(tool):
    written = {path.name: path.read_text(encoding="utf-8") for path in tool.FOLDER.glob("*.md")}
    assert written == tool.pages(), "run tools/write_rule_pages.py"


def test_the_check_tells_a_stale_page_from_a_fresh_one(tool, tmp_path, monkeypatch):
    from click.testing import CliRunner

    monkeypatch.setattr(tool, "FOLDER", tmp_path / "rules")
    assert CliRunner().invoke(tool.main, ["--check"]).exit_code == 1
    assert not tool.FOLDER.exists()
    assert CliRunner().invoke(tool.main, []).exit_code == 0
    (tool.FOLDER / "DP999.md").write_text("a rule that is gone", encoding="utf-8")
    stale = CliRunner().invoke(tool.main, ["--check"])
    assert (stale.exit_code, stale.output) == (1, "docs/rules/DP999.md: differs from its rule\n")
    assert CliRunner().invoke(tool.main, []).exit_code == 0
    assert CliRunner().invoke(tool.main, ["--check"]).exit_code == 0


def test_the_tool_runs_as_a_command():
    done = subprocess.run([sys.executable, TOOL, "--check"], capture_output=True, check=False, cwd=ROOT / "tests")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.code)
def test_a_page_has_its_four_parts(rule):
    lines = rule.explanation.splitlines()
    assert lines[0] == f"# {rule.code} {rule.name}: {rule.summary}"
    parts = [line[3:] for line in lines if line.startswith("## ")]
    assert parts[:3] == ["What it does", "Why", "Before"]
    assert len(parts) == 4
    assert parts[3] in ("After", "What to write instead", "What to do instead")


@rewriting
def test_the_text_before_becomes_the_text_after(rule, tool):
    before, after = tool.example(rule.explanation, "Before"), tool.example(rule.explanation, "After")
    ported = tool.ported(rule, before, "npu")
    assert ported.data.decode() == after
    assert rule.code in {finding.code for finding in ported.findings}


@reporting
def test_the_text_before_is_reported_and_what_to_write_instead_is_not(rule, tool):
    before = tool.example(rule.explanation, "Before")
    instead = tool.example(rule.explanation, "What to write instead")
    findings = tool.ported(rule, before, "cuda" if rule.code == "DP109" else "npu").findings
    if rule.checks and not rule.code.startswith("DP7"):  # those have no example that is wrong in itself
        assert rule.code in {finding.code for finding in findings if not finding.is_fix}
    assert bool(instead) == (rule.code not in REPORTED_ELSEWHERE)
    assert rule.code not in {finding.code for finding in tool.ported(rule, instead, "npu").findings}


def test_codes_and_names_are_each_used_once():
    rules = all_rules()
    assert len({rule.code for rule in rules}) == len({rule.name for rule in rules}) == len(rules)


@pytest.mark.parametrize("rule", [rule for rule in all_rules() if rule.checks], ids=lambda rule: rule.code)
def test_every_rule_has_a_file_of_cases(rule):
    own = next((module for module in sys.modules.values() if getattr(module, "RULE", None) is rule), None)
    name = (own.__name__ if own is not None else rule.checks[0][1].__module__).rpartition(".")[2]
    assert any(Path(__file__).parents[1].rglob(f"test_{name}.py"))
