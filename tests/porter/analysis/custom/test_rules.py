"""A project's own rules: what they rewrite and report, and how a wrong one is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from porter.analysis.custom.rule_settings import read_rules
from porter.port import Plan, port_text
from porter.settings import SettingsError, load_settings

from ...conftest import Run


def ported(text: str, **row: str) -> tuple[str, list[tuple[str, int]]]:
    own = read_rules({"X001": {key.replace("_", "-"): value for key, value in row.items()}}, "[rules")
    result = port_text(text, Plan("npu", codes=frozenset({"X001"}), own=own))
    return result.text, [(one.severity, one.line) for one in result.findings]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("import lib\nlib.on_cuda(1)\n", "import lib\nlib.on_npu(1)\n"),
        ("import lib as l\nl.on_cuda()\n", "import lib as l\nimport lib\nlib.on_npu()\n"),
        ("from lib import on_cuda\non_cuda()\n", "from lib import on_cuda\nimport lib\nlib.on_npu()\n"),
    ],
)
def test_a_call_is_renamed(before, after):
    assert ported(before, rename_call="lib.on_cuda", to="lib.on_npu")[0] == after


@pytest.mark.parametrize("text", ["import lib\nlib.on_cuda\n", "import other\nother.on_cuda()\n", "lib.on_cuda()\n"])
def test_what_is_no_such_call_stays(text):
    assert ported(text, rename_call="lib.on_cuda", to="lib.on_npu") == (text, [])


def test_an_argument_is_renamed():
    row = {"rename_argument": "gpus", "of": "lib.Trainer", "to": "devices"}
    before = "import lib\nlib.Trainer(gpus=2, x=1)\nlib.Other(gpus=2)\nlib.Trainer(devices=1, gpus=2)\n"
    text, found = ported(before, **row)
    assert text == before.replace("Trainer(gpus=2, x=1)", "Trainer(devices=2, x=1)")
    assert found == [("fix", 2)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("import lib.cu\nlib.cu.f()\n", "import lib.np\nlib.np.f()\n"),
        ("import lib.cu as c\nc.f()\n", "import lib.np as c\nc.f()\n"),
        ("from lib.cu import f\n", "from lib.np import f\n"),
        ("from lib.cu.deep import f\n", "from lib.np.deep import f\n"),
        ("from lib import cu\ncu.f()\n", "from lib import np as cu\ncu.f()\n"),
        ("import lib.cuda_extra\n", "import lib.cuda_extra\n"),
    ],
)
def test_a_module_is_renamed(before, after):
    assert ported(before, rename_module="lib.cu", to="lib.np")[0] == after


@pytest.mark.parametrize(
    ("row", "lines"),
    [
        ({"report": "lib.old"}, [1, 2]),
        ({"report": "lib.*"}, [1, 2, 3]),
        ({"report_pattern": r"^lib\.\w+_cuda$"}, [3]),
        ({"report": "lib.nothing"}, []),
    ],
)
def test_a_name_is_reported(row, lines):
    text = "from lib.old import f\nf()\nimport lib; lib.to_cuda()\n"
    found = ported(text, message="not ported", severity="error", **row)
    assert sorted({line for _, line in found[1]}) == lines
    assert {severity for severity, _ in found[1]} <= {"error"}


@pytest.mark.parametrize(
    ("rules", "place", "expected"),
    [
        (
            "[tool.diffsynth-port.rules.X001]\nreport-pattern = '('\nmessage = 'm'",
            "rules.X001]",
            "report-pattern is not a regular expression",
        ),
        ("[tool.diffsynth-port.rules.X001]\nreport = 'a'", "rules.X001]", "report needs message beside it"),
        (
            "[tool.diffsynth-port.rules.X001]\nrename-call = 'a'\nto = 'b'\ncolor = 'c'",
            "rules.X001]",
            'unknown key "color"',
        ),
        (
            "[tool.diffsynth-port.rules.X001]\nrename-call = 'a b'\nto = 'b'",
            "rules.X001]",
            "rename-call should be a dotted name",
        ),
        ("[tool.diffsynth-port.rules.X001]\nrename-call = 'a'\nto = 3", "rules.X001]", "to should be a text, found 3"),
        ("[tool.diffsynth-port.rules.X001]\nto = 'b'", "rules.X001]", "should have one of rename-call"),
        (
            "[tool.diffsynth-port.rules.X001]\nrename-call = 'a'\nreport = 'a'",
            "rules.X001]",
            "found rename-call and report",
        ),
        (
            "[tool.diffsynth-port.rules.X001]\nreport = 'a'\nmessage = 'm'\nseverity = 'bad'",
            "rules.X001]",
            "severity should be one of",
        ),
        (
            "[tool.diffsynth-port.rules.DP101]\nrename-call = 'a'\nto = 'b'",
            "rules.DP101]",
            "are those of diffsynth-port",
        ),
        ("[tool.diffsynth-port.rules.mine]\nrename-call = 'a'\nto = 'b'", "rules.mine]", "such as X001"),
        ("[tool.diffsynth-port]\nrules = 3", "[tool.diffsynth-port]", "rules should be a table"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_place(rules, place, expected, tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text(rules, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert "pyproject.toml: [" in str(error.value)
    assert place in str(error.value)
    assert expected in str(error.value)


SETTINGS = """\
[tool.diffsynth-port]
target = "npu"
[tool.diffsynth-port.rules.X001]
rename-call = "lib.on_cuda"
to = "lib.on_npu"
[tool.diffsynth-port.rules.X002]
report = "lib.old"
message = "old is not ported"
severity = "error"
"""
PROGRAM = "import lib\nlib.on_cuda()\nlib.old()\nlib.old()  # port: ignore[X002]\n"


def test_they_go_by_the_same_options_comments_reports_and_record(run: Run, tmp_path: Path):
    (tmp_path / "pyproject.toml").write_text(SETTINGS, encoding="utf-8")
    program = tmp_path / "a.py"
    program.write_text(PROGRAM, encoding="utf-8")
    done = run("a.py", "--check", "--format", "json")
    (report,) = json.loads(done.stdout)["files"]
    assert [(one["code"], one["severity"], one["line"]) for one in report["findings"]] == [
        ("X001", "fix", 2),
        ("X002", "error", 3),
    ]
    assert run("a.py", "--check", "--ignore", "X002,X001").returncode == 0
    assert run("a.py", "--check", "--select", "DP").returncode == 0
    assert b"X002" in run("a.py", "--check", "--select", "X002", "--format", "sarif").stdout
    assert run("a.py").returncode == 1
    assert program.read_text(encoding="utf-8") == PROGRAM.replace("on_cuda", "on_npu")
    run("a.py", "--target", "cuda")
    assert program.read_text(encoding="utf-8") == PROGRAM


def test_a_wrong_one_stops_the_run(run: Run, tmp_path: Path):
    (tmp_path / "pyproject.toml").write_text(SETTINGS.replace("to = ", "too = "), encoding="utf-8")
    (tmp_path / "a.py").write_text(PROGRAM, encoding="utf-8")
    done = run("a.py")
    assert done.returncode == 2
    assert b'[tool.diffsynth-port.rules.X001] unknown key "too"' in done.stderr


def test_every_listing_and_format_knows_them(tmp_path: Path, run: Run) -> None:
    table = """[tool.diffsynth-port]
target = "npu"
[tool.diffsynth-port.rules.X001]
rename-call = "lib.on_cuda"
to = "lib.on_npu"
[tool.diffsynth-port.rules.X002]
report = "lib.legacy.*"
message = "lib.legacy was not ported"
help = "lib.modern"
severity = "error"
"""
    (tmp_path / "pyproject.toml").write_text(table, encoding="utf-8")
    (tmp_path / "a.py").write_text("import lib\nlib.on_cuda()\nlib.legacy.f()\n", encoding="utf-8")
    (*_, first, second) = run("--list-rules").stdout.decode().splitlines()
    assert first.split(maxsplit=3) == ["X001", "x001", "rewrites", "lib.on_cuda becomes lib.on_npu"]
    assert second.split(maxsplit=3) == ["X002", "x002", "reports", "lib.legacy was not ported"]
    assert 'rename-call = "lib.on_cuda"' in run("--explain", "X001").stdout.decode()
    assert run("--explain", "x002").stdout.decode().rstrip().endswith("lib.modern")
    assert b"X001" not in run("--list-rules", "--no-config").stdout

    log = json.loads(run("a.py", "--check", "--format", "sarif").stdout)["runs"][0]
    rules = log["tool"]["driver"]["rules"]
    assert [rules[one["ruleIndex"]]["id"] for one in log["results"]] == [one["ruleId"] for one in log["results"]]
    assert [one["ruleId"] for one in log["results"]] == ["X001", "X002"]
    told = json.loads(run("a.py", "--check", "--format", "json", "--statistics").stdout)
    assert [one["name"] for one in told["files"][0]["findings"]] == ["x001", "x002"]
    assert [one["name"] for one in told["statistics"]] == ["x001", "x002"]
    run("a.py", "--check", "--report", "port.html", "--report", "port.md")
    assert 'id="X002"' in (tmp_path / "port.html").read_text(encoding="utf-8")
    assert "| X001 | lib.on" in (tmp_path / "port.md").read_text(encoding="utf-8")


def test_with_keep_cuda_reports_speak_and_renames_are_noted():
    rows = {
        "X001": {"rename-call": "lib.on_cuda", "to": "lib.on_npu"},
        "X002": {"report": "lib.legacy", "message": "no more"},
    }
    own = read_rules(rows, "[rules")
    text = "import lib\nlib.on_cuda()\nlib.legacy\n"
    result = port_text(text, Plan("npu", codes=frozenset({"DP101", "X001", "X002"}), own=own, keep_cuda=True))
    assert result.text == text
    assert [(one.code, one.severity, one.applicability) for one in result.findings] == [
        ("X001", "note", ""),
        ("X002", "warning", ""),
    ]
