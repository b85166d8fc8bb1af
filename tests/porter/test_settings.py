"""Settings: where they are found, what they may hold, and how options go over them."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pathspec import GitIgnoreSpec

from porter.rules import all_rules, usual_rules
from porter.settings import Settings, SettingsError, load_settings, selected_codes
from porter.targets import TARGETS

EVERY_CODE = frozenset(rule.code for rule in usual_rules())

NAMES = ", ".join(f'"{name}"' for name in (*TARGETS, "cuda"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, table: str) -> Path:
    path = folder / "pyproject.toml"
    path.write_text(f'[project]\nname = "mine"\n\n[tool.diffsynth-port]\n{table}\n', encoding="utf-8")
    return path


def options(**given: Any) -> dict[str, Any]:
    """As click hands them over: flags and values None or (), unless given."""
    none: dict[str, Any] = dict.fromkeys(
        ("target", "hardware", "torch_npu", "jobs", "fail_on", "format_", "baseline", "statistics", "quiet")
    )
    return none | {"select": (), "ignore": (), "exclude": ()} | given


def test_every_key_arrives(folder: Path) -> None:
    write(
        folder,
        """
        target = "npu"
        hardware = "atlas-a3"
        torch-npu = "2.7.1.post4"
        select = ["DP1"]
        ignore = ["mem-get-info"]
        exclude = ["third_party/", "*_pb2.py"]
        jobs = 4
        fail-on = "warning"
        format = "github"
        baseline = "ci/accepted.json"
        statistics = true
        quiet = true

        [tool.diffsynth-port.per-file-ignores]
        "tests/**" = ["device-string", "DP102"]
        """,
    )
    assert load_settings() == Settings(
        target="npu",
        hardware="atlas-a3",
        torch_npu="2.7.1.post4",
        select=("DP1",),
        ignore=("mem-get-info",),
        exclude=("third_party/", "*_pb2.py"),
        per_file_ignores=(("tests/**", frozenset({"DP101", "DP102"})),),
        jobs=4,
        fail_on="warning",
        format="github",
        baseline="ci/accepted.json",
        statistics=True,
        quiet=True,
        folder=str(folder),
    )


def test_the_nearest_file_with_the_table_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, 'target = "npu"\nbaseline = "accepted.json"')
    inner = folder / "package" / "module"
    inner.mkdir(parents=True)
    (folder / "package" / "pyproject.toml").write_text("[project]\nname = 'no table'\n", encoding="utf-8")
    monkeypatch.chdir(inner)
    found = load_settings()
    assert (found.target, found.folder) == ("npu", str(folder))
    assert found.baseline == os.path.join("..", "..", "accepted.json")
    write(inner, 'target = "xpu"')
    assert load_settings().target == "xpu"


def test_nothing_found_or_searched_gives_the_defaults(folder: Path) -> None:
    assert load_settings() == Settings(folder=str(folder))
    write(folder, 'target = "npu"')
    assert load_settings(search=False) == Settings(folder=str(folder))


def test_a_broken_file_of_others_is_none_of_our_business(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[tool.black\n", encoding="utf-8")
    assert load_settings().target is None


def test_a_file_that_only_mentions_the_tool_has_no_settings(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[project]\nname = 'diffsynth-port'\n", encoding="utf-8")
    assert load_settings() == Settings(folder=str(folder))


def test_without_a_table_no_toml_parser_is_imported(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[project]\nname = 'mine'\n", encoding="utf-8")
    heavy = {"tomllib", "tomli", "pathspec", "json", "porter.rules"}
    code = f"import sys, porter.settings as s; s.load_settings(); print({heavy} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "set()"


def test_a_named_file_is_seen_from_the_working_directory(folder: Path) -> None:
    (folder / "conf").mkdir()
    write(folder / "conf", 'target = "npu"\nbaseline = "accepted.json"\nexclude = ["src/old/"]')
    named = load_settings("conf/pyproject.toml")
    assert (named.target, named.baseline, named.folder) == ("npu", "accepted.json", str(folder))


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ('targte = "npu"', 'unknown key "targte"; did you mean "target"?'),
        ('fail_on = "note"', 'unknown key "fail_on"; did you mean "fail-on"?'),
        ("zzz = 1", 'unknown key "zzz"; known keys: target, hardware, torch-npu, select,'),
        ('target = "gpu"', f'target should be one of {NAMES}, found the text "gpu"'),
        ('hardware = "atlas-a9"', 'hardware should be one of "atlas-a2", "atlas-a3", "ascend-950dt", '),
        ('torch-npu = "3.0"', "torch-npu should be a build of torch_npu (2.1.0.post17, 2.3.1.post6, "),
        ("torch-npu = 2.7", "a later post release of one, found the number 2.7"),
        ('select = "DP101"', 'select should be a list of texts, found the text "DP101"'),
        ("ignore = [1]", "ignore should be a list of texts, found a list that holds the number 1"),
        ('jobs = "four"', 'jobs should be a whole number of at least 1, found the text "four"'),
        ("jobs = 0", "jobs should be a whole number of at least 1, found the number 0"),
        ("jobs = true", "jobs should be a whole number of at least 1, found true"),
        ('fail-on = "fix"', 'fail-on should be one of "note", "warning", "error", found the text "fix"'),
        (
            'format = "xml"',
            'format should be one of "text", "json", "sarif", "github", "gitlab", "junit", found the text "xml"',
        ),
        ("baseline = []", "baseline should be the path of a file, found a list"),
        ("quiet = 1", "quiet should be true or false, found the number 1"),
        ('per-file-ignores = ["a"]', "per-file-ignores should be a table of patterns, each with a list of rules"),
        ('per-file-ignores = {"a" = "DP101"}', 'found a table that holds the text "DP101"'),
        ('select = ["DP999"]', 'select: there is no rule "DP999"; --list-rules names them all'),
        ('select = ["DP9"]', 'select: there is no rule "DP9"; --list-rules names them all'),
        ('select = ["dp110x"]', 'there is no rule "dp110x"; did you mean "DP110"?'),
        ('select = ["DP110", "DP299"]', 'there is no rule "DP299"; did you mean "DP301"?'),
        ('ignore = ["device-sting"]', 'ignore: there is no rule "device-sting"; did you mean "device-string"?'),
        (
            'per-file-ignores = {"a" = ["conv3"]}',
            'per-file-ignores "a": there is no rule "conv3"; did you mean "conv3d"?',
        ),
        ('exclude = ["!"]', '"!" is not a pattern as in .gitignore'),
        ("exclude = [", "not valid TOML: "),
    ],
)
def test_what_is_wrong_is_named(folder: Path, table: str, says: str) -> None:
    path = write(folder, table)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert says in message
    assert "\n" not in message


def test_files_that_cannot_be_settings(folder: Path) -> None:
    for content, says in [
        (b"[tool]\ndiffsynth-port = 1\n", "should be a table"),
        (b"# diffsynth-port \xff", "not valid"),
    ]:
        (folder / "pyproject.toml").write_bytes(content)
        with pytest.raises(SettingsError, match=says):
            load_settings()
    (folder / "other.toml").write_text("[tool.black]\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"other.toml: there is no \[tool.diffsynth-port\] in it"):
        load_settings("other.toml")
    with pytest.raises(SettingsError, match=r"none.toml: cannot be read: No such file"):
        load_settings("none.toml")


def test_options_go_over_settings() -> None:
    settings = Settings(target="npu", select=("DP1",), ignore=("DP102",), exclude=("old/",), jobs=4)
    assert settings.overridden_by(options()) == settings
    given = options(target="xpu", jobs=1, format_="json", fail_on="note", baseline="b.json", quiet=True)
    assert settings.overridden_by(given) == replace(
        settings, target="xpu", jobs=1, format="json", fail_on="note", baseline="b.json", quiet=True
    )


def test_select_and_ignore_take_the_place_of_the_settings() -> None:
    settings = Settings(select=("DP1",), ignore=("DP102",))
    selecting = settings.overridden_by(options(select=("DP102, DP103", "device-string")))
    assert (selecting.select, selecting.ignore) == (("DP102", "DP103", "device-string"), ())
    ignoring = settings.overridden_by(options(ignore=("DP101",)))
    assert (ignoring.select, ignoring.ignore) == (("DP1",), ("DP101",))


def test_hardware_of_the_settings_is_for_the_target_that_has_it() -> None:
    settings = Settings(target="npu", hardware="atlas-a3")
    assert settings.overridden_by(options(target="npu")).hardware == "atlas-a3"
    assert settings.overridden_by(options(target="mps")).hardware is None
    assert settings.overridden_by(options(target="mps", hardware="atlas-a2")).hardware == "atlas-a2"


def test_the_build_of_the_settings_is_for_the_npu() -> None:
    settings = Settings(target="npu", torch_npu="2.7.1")
    assert settings.overridden_by(options()).torch_npu == "2.7.1"
    assert settings.overridden_by(options(target="npu")).torch_npu == "2.7.1"
    assert settings.overridden_by(options(torch_npu="2.9.1")).torch_npu == "2.9.1"
    assert settings.overridden_by(options(target="cuda")).torch_npu is None
    assert settings.overridden_by(options(target="mps", torch_npu="2.9.1")).torch_npu == "2.9.1"


@pytest.mark.parametrize(
    ("pattern", "added"),
    [
        ("build/", "build/"),
        ("*.md", "*.md"),
        ("gen/*.py", r"/s\[x]/gen/*.py"),
        ("/top.py", r"/s\[x]/top.py"),
        ("!gen/keep.py", r"!/s\[x]/gen/keep.py"),
    ],
)
def test_excluded_on_the_command_line_is_seen_from_the_working_directory(
    folder: Path, pattern: str, added: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = folder / "s[x]"
    inner.mkdir()
    monkeypatch.chdir(inner)
    given = options(exclude=(pattern,))
    assert Settings(exclude=("old/",), folder=str(folder)).overridden_by(given).exclude == ("old/", added)
    assert Settings(exclude=("old/",), folder=str(inner)).overridden_by(given).exclude == ("old/", pattern)


def test_a_pattern_seen_from_above_still_matches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = folder / "s[x]"
    inner.mkdir()
    monkeypatch.chdir(inner)
    exclude = Settings(folder=str(folder)).overridden_by(options(exclude=("gen/*.py",))).exclude
    matches = GitIgnoreSpec.from_lines(exclude).match_file
    assert matches("s[x]/gen/a.py")
    assert not matches("gen/a.py")
    assert not matches("sx/gen/a.py")


def test_a_bad_pattern_on_the_command_line_is_named() -> None:
    with pytest.raises(SettingsError, match='--exclude: "!" is not a pattern'):
        Settings().overridden_by(options(exclude=("!",)))


def test_per_file_ignores_add_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, 'per-file-ignores = {"tests/" = ["DP101"], "*_cuda.py" = ["DP102"], "/setup.py" = ["DP1"]}')
    (folder / "tests").mkdir()
    monkeypatch.chdir(folder / "tests")
    settings = pickle.loads(pickle.dumps(load_settings()))
    assert settings.ignored_codes("a.py") == {"DP101"}
    assert settings.ignored_codes("a_cuda.py") == {"DP101", "DP102"}
    assert settings.ignored_codes("../a_cuda.py") == {"DP102"}
    assert settings.ignored_codes(str(folder / "src/a.py")) == frozenset()
    assert settings.ignored_codes("../src/setup.py") == frozenset()
    assert settings.ignored_codes("../setup.py") == {code for code in EVERY_CODE if code.startswith("DP1")}


def test_selected_codes() -> None:
    rules = all_rules()
    assert selected_codes(None, (), rules) == EVERY_CODE
    assert selected_codes(("DP",), (), rules) == EVERY_CODE
    assert selected_codes(("DP101", "mem-get-info"), (), rules) == {"DP101", "DP103"}
    assert selected_codes(("dp101", "Mem-Get-Info"), (), rules) == {"DP101", "DP103"}
    assert selected_codes(("DP101", "DP102"), ("device-string",), rules) == {"DP102"}
    assert selected_codes(None, ("DP1",), rules) == {code for code in EVERY_CODE if not code.startswith("DP1")}
    assert selected_codes((), (), rules) == frozenset()


@pytest.mark.parametrize(
    ("select", "ignore", "says"),
    [
        (("DP101x",), (), '--select: there is no rule "DP101x"; did you mean "DP101"?'),
        (None, ("Device-Sting",), '--ignore: there is no rule "Device-Sting"; did you mean "device-string"?'),
        (("",), (), '--select: there is no rule ""; --list-rules names them all'),
        (("qqq",), (), '--select: there is no rule "qqq"; --list-rules names them all'),
    ],
)
def test_unknown_rules_on_the_command_line(select: tuple[str, ...] | None, ignore: tuple[str, ...], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        selected_codes(select, ignore, all_rules())
    assert str(caught.value) == says
