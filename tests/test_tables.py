"""The tables of accelerator_tables: their schema, what they must say, and that their sources give them."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata, resources
from pathlib import Path

import pytest
from click.testing import CliRunner

ROOT = Path(__file__).resolve().parent.parent
TOOL = ROOT / "tools" / "make_tables.py"
TARGETS = sorted(path.stem for path in (ROOT / "accelerator_tables" / "targets").glob("*.json"))
# Those that the support pages tell of, and all that the operator definitions do.
HARDWARE = {"atlas-a2", "atlas-a3", "ascend-950dt"}
LINES = HARDWARE | {"atlas-910", "atlas-310p", "atlas-200i-a2"}

SCHEMA = {
    "name": str,
    "title": str,
    "module": str,
    "method": str | None,
    "flag": str | None,
    "backend": str | None,
    "profiler_activity": str | None,
    "indexed": bool,
    "verified": bool,
    "packages": list,
    "registered_by": str | None,
    "wheels": str | None,
    "frameworks": dict,
    "tools": dict,
    "handles": dict,
    "hardware": list,
    "default_hardware": str | None,
    "environment": dict,
    "alloc_conf_keys": list | None,
    "torch": str,
    "keywords": dict,
    "names": dict,
    "unchanged": list,
    "lacking": dict,
    "unsupported": dict,
    "drops_device_argument": list,
    "elsewhere": dict,
    "former": dict,
}


def read(path: str):
    return json.loads(resources.files("accelerator_tables").joinpath(path).read_text(encoding="utf-8"))


@pytest.fixture(params=TARGETS)
def table(request):
    return read(f"targets/{request.param}.json")


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """The tool as a module, working on a copy of the package."""
    spec = importlib.util.spec_from_file_location("make_tables", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    copy = tmp_path / "accelerator_tables"
    shutil.copytree(ROOT / "accelerator_tables", copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(module, "PACKAGE", copy)
    return module


def installed_torch() -> str:
    try:
        return metadata.version("torch").partition("+")[0]
    except metadata.PackageNotFoundError:
        return "none"


needs_described_torch = pytest.mark.skipif(
    installed_torch() != read("targets/xpu.json")["torch"],
    reason="the xpu and mps tables describe another torch than the installed one",
)


# schema


def test_every_key_has_its_type(table):
    assert list(table) == list(SCHEMA)
    for key, kind in SCHEMA.items():
        assert isinstance(table[key], kind), key


def test_small_enough_to_read_at_every_start(table):
    file = resources.files("accelerator_tables").joinpath(f"targets/{table['name']}.json")
    assert len(file.read_bytes()) < 25_000


def test_names_lead_below_the_targets_module(table):
    for name, target in table["names"].items():
        assert target.startswith(f"{table['module']}."), name


def test_a_name_is_either_there_or_lacking(table):
    assert not table["names"].keys() & table["lacking"].keys()
    assert not set(table["unchanged"]) & (table["names"].keys() | table["lacking"].keys())


def test_a_lacking_module_stands_for_all_below_it(table):
    for name in [*table["names"], *table["lacking"]]:
        parts = name.split(".")
        ancestors = {".".join(parts[:length]) for length in range(1, len(parts))}
        assert not ancestors & table["lacking"].keys(), name


def test_names_can_be_undone(table):
    """Two CUDA names share a target name only if they are two spellings of one object."""
    by_target: dict[str, set[str]] = {}
    for name, target in table["names"].items():
        by_target.setdefault(target, set()).add(name.rpartition(".")[2])
    assert all(len(leaves) == 1 for leaves in by_target.values())


def test_ways_out_are_text_with_nothing_left_to_fill_in(table):
    for name, text in table["lacking"].items():
        assert isinstance(text, str), name
        assert "{" not in text, name
        assert "None" not in text, name


def test_hardware_lines(table):
    lines = set(table["hardware"])
    assert lines == (LINES if table["name"] == "npu" else set())
    assert (table["default_hardware"] in lines) if lines else table["default_hardware"] is None
    for name, refusing in table["unsupported"].items():
        assert name in table["names"]
        assert refusing
        assert set(refusing) <= lines


def test_device_argument_is_dropped_only_by_names_that_exist(table):
    assert set(table["drops_device_argument"]) <= table["names"].keys()


def test_ascend_unsupported_schema():
    table = read("ascend_unsupported.json")
    assert len(table) > 500
    for name, lines in table.items():
        assert name.startswith("torch.")
        assert not name.startswith(("torch.cuda.", "torch.torch."))
        assert lines
        assert set(lines) <= HARDWARE


def test_versions_schema():
    table = read("versions.json")
    assert all(set(row) == {"torch_npu", "branch", "torch", "cann"} for row in table["torch_npu"])
    assert {"torch_npu": "2.12.0", "branch": "v2.12.0-26.1.0", "torch": "2.12.0", "cann": "9.1.0"} in table["torch_npu"]
    assert table["python"]["2.12.0"] == ["3.10", "3.11", "3.12", "3.13", "3.14"]


# completeness


@pytest.mark.parametrize("name", TARGETS)
@needs_described_torch
def test_every_public_name_of_torch_cuda_is_decided(name):
    import torch

    table = read(f"targets/{name}.json")
    decided = table["names"].keys() | table["lacking"].keys() | set(table["unchanged"])
    assert set(torch.cuda.__all__) <= decided


@pytest.mark.parametrize("name", ["xpu", "mps"])
@needs_described_torch
def test_names_exist_in_the_installed_torch(name):
    import torch

    for cuda, target in read(f"targets/{name}.json")["names"].items():
        value = torch
        for part in target.split("."):
            assert hasattr(value, part), cuda
            value = getattr(value, part)


@needs_described_torch
def test_unchanged_names_are_torchs_own():
    import torch

    for name in read("targets/npu.json")["unchanged"]:
        assert getattr(torch.cuda, name) is getattr(torch, name)


# what they must say


def test_npu_facts():
    table = read("targets/npu.json")
    assert table["names"]["CUDAGraph"] == "npu.NPUGraph"
    assert table["names"]["graphs.CUDAGraph"] == "npu.graphs.NPUGraph"
    assert table["names"]["is_bf16_supported"] == "npu.is_bf16_supported"
    assert table["names"]["amp.autocast"] == "npu.amp.autocast"
    assert table["names"]["memory.mem_get_info"] == "npu.mem_get_info"
    assert table["lacking"]["nvtx"] == "torch.npu.mstx"
    assert "memory_usage" in table["lacking"]
    assert table["unsupported"]["memory_summary"] == ["ascend-950dt"]
    assert table["unsupported"]["memory.memory_summary"] == ["ascend-950dt"]
    assert "empty_cache" not in table["unsupported"]
    assert table["environment"]["CUDA_VISIBLE_DEVICES"] == "ASCEND_RT_VISIBLE_DEVICES"
    assert "expandable_segments" in table["alloc_conf_keys"]
    assert table["elsewhere"]["backends.cuda.cufft_plan_cache"] == "npu.backends.fft_plan_cache"


def test_xpu_facts():
    table = read("targets/xpu.json")
    assert table["names"]["CUDAGraph"] == "xpu.XPUGraph"
    assert table["names"]["memory_usage"] == "xpu.memory_usage"
    assert table["lacking"]["memory_cached"] == "torch.xpu.memory_reserved"
    assert table["lacking"]["memory.memory_cached"] == "torch.xpu.memory_reserved"
    assert table["method"] is None
    assert table["drops_device_argument"] == ["memory._record_memory_history"]


def test_mps_facts():
    table = read("targets/mps.json")
    assert table["names"]["memory_allocated"] == "mps.current_allocated_memory"
    assert "max_memory_allocated" in table["lacking"]
    assert "Stream" in table["lacking"]
    assert not table["indexed"]
    assert {"memory_allocated", "synchronize"} <= set(table["drops_device_argument"])
    assert "get_rng_state" not in table["drops_device_argument"]


def test_musa_is_marked_unverified():
    assert all(read(f"targets/{name}.json")["verified"] for name in ("npu", "xpu", "mps"))
    assert not read("targets/musa.json")["verified"]
    assert read("targets/musa.json")["names"]["nccl.all_reduce"] == "musa.mccl.all_reduce"


def test_ascend_unsupported_facts():
    table = read("ascend_unsupported.json")
    assert set(table["torch.nanquantile"]) == HARDWARE
    assert table["torch.topk"] == ["ascend-950dt"]
    assert table["torch.backends.mkldnn.is_available"] == ["atlas-a3", "ascend-950dt"]
    assert "torch.add" not in table
    assert "torch.Tensor.unique_consecutive" not in table, "methods are left out"


# the tool


def test_check_passes_on_the_committed_tables():
    run = subprocess.run([sys.executable, TOOL, "--check"], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "")


def test_a_changed_table_is_found_and_rebuilt_byte_for_byte(tool):
    file = tool.PACKAGE / "targets" / "npu.json"
    before = file.read_bytes()
    file.write_bytes(before.replace(b"NPUGraph", b"NPUGraf"))
    check = CliRunner().invoke(tool.main, ["--check"])
    assert (check.exit_code, check.stdout) == (1, "targets/npu.json: differs from its sources\n")
    assert file.read_bytes() != before
    rebuild = CliRunner().invoke(tool.main, [])
    assert (rebuild.exit_code, rebuild.stdout) == (0, "targets/npu.json: written\n")
    assert file.read_bytes() == before
    assert {f"{name}.json" for name in TARGETS} <= {path.name for path in file.parent.iterdir()}


def test_a_source_decides(tool):
    source = tool.PACKAGE / "sources" / "torch_npu_support.json"
    text = source.read_text(encoding="utf-8")
    line = '"torch.nanquantile":{"s":"000"}'
    assert text.count(line) == 1
    source.write_text(text.replace(line, '"torch.nanquantile":{"s":"111"}'), encoding="utf-8")
    check = CliRunner().invoke(tool.main, ["--check"])
    assert (check.exit_code, check.stdout) == (1, "ascend_unsupported.json: differs from its sources\n")


def test_another_torch_leaves_xpu_and_mps_alone(tool, monkeypatch):
    monkeypatch.setattr(tool, "installed_torch", lambda: "2.7.0")
    (tool.PACKAGE / "targets" / "mps.json").write_text("{}", encoding="utf-8")
    check = CliRunner().invoke(tool.main, ["--check"])
    assert (check.exit_code, check.stdout) == (0, "")
    assert "left alone, need torch 2.13.0, found 2.7.0" in check.stderr


def test_a_lacking_name_without_a_way_out_is_an_error(tool):
    source = tool.PACKAGE / "sources" / "targets.json"
    by_hand = json.loads(source.read_text(encoding="utf-8"))
    del by_hand["ways_out"]["tunable"]
    source.write_text(json.dumps(by_hand), encoding="utf-8")
    run = CliRunner().invoke(tool.main, [])
    assert run.exit_code == 2
    assert "sources/targets.json: npu lacks tunable: add a way out to ways_out" in run.stderr


@pytest.mark.parametrize(
    ("text", "message"), [(None, "no such file"), ("{", "not JSON"), ("[]", "expected a JSON object")]
)
def test_bad_facts_are_one_clear_error(tool, tmp_path, text, message):
    facts = tmp_path / "facts"
    facts.mkdir()
    if text is not None:
        (facts / "torch_npu_support.json").write_text(text, encoding="utf-8")
    run = CliRunner().invoke(tool.main, ["--facts", str(facts)])
    assert run.exit_code == 2
    assert f"torch_npu_support.json: {message}" in run.stderr


@pytest.mark.parametrize(
    "name", ["torch_npu_support.json", "torch_npu_api.json", "device_surface.json", "targets.json"]
)
def test_sources_hold_one_entry_a_line(tool, name):
    text = (tool.PACKAGE / "sources" / name).read_text(encoding="utf-8")
    assert tool.file_text(f"sources/{name}", json.loads(text)) == text


# torch_npu_builds.json, torch_minors.json


@pytest.fixture
def builds_tool(tmp_path, monkeypatch):
    """tools/make_build_tables.py on an empty folder."""
    monkeypatch.syspath_prepend(str(TOOL.parent))
    spec = importlib.util.spec_from_file_location("make_build_tables", TOOL.parent / "make_build_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "PACKAGE", tmp_path / "tables")
    module.PACKAGE.mkdir()
    return module


def facts_of_builds(**changes):
    entry = {"first": "2.6.0", "last": None, "absent_in": []}
    later = {**entry, "absent_in": ["2.6.0"]}
    return {
        "order": ["2.6.0", "2.7.1"],
        "wheels": {"2.6.0": {"built": "2025-07-22"}, "2.7.1": {"built": "2025-10-23"}},
        "torch.npu": {
            "Event": entry,
            "streams.Event": entry,
            "streams.Event.ipc_handle": {**later, "signatures": [["2.7.1", "self"]]},
            "empty_cache": {**entry, "signatures": [["2.6.0", ""]]},
            "pta_error": later,
            "snapshot": {**entry, "signatures": [["2.6.0", "device=None"], ["2.7.1", "device=None, *, pool=None"]]},
            "loose": {**entry, "signatures": [["2.6.0", "a, **kwargs"], ["2.7.1", "a, *, b='x, y'"]]},
        },
        "modules": {"torch_npu.npu.amp": {"scaler": later}, "torch_npu.contrib": {"Mish": later}},
        "operators": {
            "npu_f": {**entry, "schemas": [["2.6.0", "npu_f(Tensor(a!) x, int[2] s=[1, 1]) -> (Tensor, Tensor)"]]},
            "npu_f.out": {**later, "schemas": [["2.7.1", "npu_f.out(Tensor x, *, Tensor(a!) out) -> Tensor"]]},
        },
        "alloc_conf_keys": {"2.6.0": ["b"], "2.7.1": ["a", "b"]},
        "environment": {"PYTORCH_ALLOC_CONF": later, "TORCH_HCCL_X": entry, "TRITON_X": later},
        **changes,
    }


def test_builds_are_told_by_what_differs(builds_tool, tmp_path):
    (tmp_path / "torch_npu_by_release.json").write_text(json.dumps(facts_of_builds()), encoding="utf-8")
    run = CliRunner().invoke(builds_tool.main, ["--facts", str(tmp_path)])
    assert (run.exit_code, run.stdout) == (0, "torch_npu_builds.json: written\n")
    assert json.loads((builds_tool.PACKAGE / "torch_npu_builds.json").read_text(encoding="utf-8")) == {
        "builds": {"2.6.0": "2025-07-22", "2.7.1": "2025-10-23"},
        "names": {
            "01": ["npu.Event.ipc_handle", "npu.amp.scaler", "npu.streams.Event.ipc_handle", "torch_npu.contrib.Mish"]
        },
        "parameters": {"01": ["npu.snapshot(pool)", "torch_npu.npu_f(out)"]},
        "by_position": {},
        "allocator_keys": {"01": ["a"], "11": ["b"]},
        "environment": {"01": ["PYTORCH_ALLOC_CONF"]},
    }
    assert CliRunner().invoke(builds_tool.main, ["--facts", str(tmp_path), "--check"]).exit_code == 0
    (builds_tool.PACKAGE / "torch_npu_builds.json").write_text("{}", encoding="utf-8")
    check = CliRunner().invoke(builds_tool.main, ["--facts", str(tmp_path), "--check"])
    assert (check.exit_code, check.stdout) == (1, "torch_npu_builds.json: differs\n")


def make_torch(folder, version, names):
    (folder / "accelerator").mkdir(parents=True)
    (folder / "version.py").write_text(f"__version__ = '{version}'\n", encoding="utf-8")
    (folder / "accelerator" / "__init__.py").write_text(f"__all__ = {names!r}\n", encoding="utf-8")
    (folder / "accelerator" / "_utils.py").write_text("", encoding="utf-8")
    return folder


def test_minors_of_torch_are_read_from_folders_and_wheels(builds_tool, tmp_path):
    older = make_torch(tmp_path / "a" / "torch", "2.9.1+cpu", ["gone", "stays"])
    newer = make_torch(tmp_path / "b" / "torch", "2.10.0", ["new", "stays"])
    (newer / "accelerator" / "random.py").write_text("", encoding="utf-8")
    wheel = tmp_path / "torch-2.10.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in newer.rglob("*.py"):
            archive.write(path, path.relative_to(tmp_path / "b").as_posix())
    run = CliRunner().invoke(builds_tool.main, ["--torch", str(wheel), "--torch", str(older)])
    assert run.exit_code == 0, run.output
    assert json.loads((builds_tool.PACKAGE / "torch_minors.json").read_text(encoding="utf-8")) == {
        "minors": ["2.9", "2.10"],
        "names": {
            "accelerator": ["2.9", None],
            "accelerator.gone": ["2.9", "2.9"],
            "accelerator.new": ["2.10", None],
            "accelerator.random": ["2.10", None],
            "accelerator.stays": ["2.9", None],
        },
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "nothing to do; name --facts DIR"),
        (["--facts", "."], "torch_npu_by_release.json: no such file"),
        (["--facts", "broken"], "the facts have no entry 'torch.npu'"),
        (["--torch", "broken"], "broken: expected the folder of an installed torch, or a wheel of it"),
        (["--torch", "broken/torch_npu_by_release.json"], "not a wheel"),
    ],
)
def test_what_the_tables_of_releases_cannot_be_made_of(builds_tool, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "torch_npu_by_release.json").write_text('{"order": ["2.6.0"]}', encoding="utf-8")
    run = CliRunner().invoke(builds_tool.main, arguments)
    assert run.exit_code == 2
    assert says in run.stderr


def test_builds_schema():
    table = read("torch_npu_builds.json")
    builds = list(table["builds"])
    assert len(builds) == 17
    for kind in ("names", "parameters", "allocator_keys", "environment"):
        for row, listed in table[kind].items():
            assert len(row) == 17
            assert set(row) <= {"0", "1"}
            assert listed == sorted(listed)
    assert "1" * 17 not in table["names"]
    assert all(changes[0][1] != changes[1][1] for changes in table["by_position"].values())
    [row] = [row for row, names in table["names"].items() if "npu.ExternalStream" in names]
    assert [build for build, there in zip(builds, row, strict=True) if there == "1"] == [
        *("2.7.1.post11", "2.9.0.post9", "2.10.0.post7", "2.11.0.post3", "2.12.0.post3", "2.13.0", "2.14.0")
    ]


def test_the_newest_build_knows_the_keys_of_the_npu_table():
    rows = read("torch_npu_builds.json")["allocator_keys"]
    keys = sorted(key for row, listed in rows.items() if row[-1] == "1" for key in listed)
    assert keys == read("targets/npu.json")["alloc_conf_keys"]


def test_former_names_are_decided():
    for name in TARGETS:
        former = read(f"targets/{name}.json")["former"]
        assert set(former["names"]) | set(former["lacking"]) == {"MemPoolContext", "memory.MemPoolContext"}


# torch_npu_wheels.json


def test_wheels_are_told_by_what_they_ask_for(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(TOOL.parent))
    spec = importlib.util.spec_from_file_location("make_wheel_table", TOOL.parent / "make_wheel_table.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(tool, "PACKAGE", tmp_path)
    facts = {
        "order": ["2.6.0", "2.13.0"],
        "wheels": {
            "2.6.0": {"requires_dist": ["torch (==2.6.0+cpu)"]},
            "2.13.0": {"requires_dist": ["numpy", "torch==2.13.0.*"]},
        },
        "python_tags_x86_64": {"3.13": "2.7.1.post4+ 2.10+", "3.11": "all", "3.9": "up to 2.8.0.post5"},
    }
    (tmp_path / "torch_npu_by_release.json").write_text(json.dumps(facts), encoding="utf-8")
    run = CliRunner().invoke(tool.main, ["--facts", str(tmp_path)])
    assert (run.exit_code, run.stdout) == (0, "torch_npu_wheels.json: written\n")
    assert json.loads((tmp_path / "torch_npu_wheels.json").read_text(encoding="utf-8")) == {
        "torch": {"2.6.0": "2.6.0+cpu", "2.13.0": "2.13.0.*"},
        "python": {"3.13": {"from": ["2.7.1.post4", "2.10"]}, "3.9": {"until": "2.8.0.post5"}},
    }
    assert CliRunner().invoke(tool.main, ["--facts", str(tmp_path), "--check"]).exit_code == 0
    (tmp_path / "torch_npu_by_release.json").write_text("{}", encoding="utf-8")
    broken = CliRunner().invoke(tool.main, ["--facts", str(tmp_path)])
    assert broken.exit_code == 2
    assert "the facts have no entry" in broken.output


FAMILY_TABLES = sorted(path.stem for path in (ROOT / "accelerator_tables/families").glob("*.json"))
LOWER = re.compile(r"[a-z0-9_]+")


@pytest.mark.parametrize("name", FAMILY_TABLES)
def test_the_table_of_a_family_has_what_the_porter_reads(name):
    table = read(f"families/{name}.json")
    assert LOWER.fullmatch(name)
    assert table.keys() == {"title", "series", "memory"}
    assert table["title"]
    assert table["series"]
    for series in table["series"]:
        assert series.keys() == {"name", "models", "options"}
        assert re.compile(series["models"])
        for option, when in series["options"].items():
            assert LOWER.fullmatch(option)
            assert {"split_training"} <= when.keys() <= {"split_training", "trains"}
            assert isinstance(when["split_training"], bool)
            assert when.get("trains") in (None, "full", "lora")
    for strategy in table["memory"]:
        assert strategy.keys() == {"models", "trains", "strategy", "because"}
        assert re.compile(strategy["models"])
        assert strategy["trains"] in ("full", "lora")
        assert strategy["strategy"] in ("zero2offload", "zero3", "split")
        assert strategy["because"][0].isupper()
        assert not strategy["because"].endswith(".")  # the comment's own


def test_no_two_families_have_one_series():
    names = [series["name"] for name in FAMILY_TABLES for series in read(f"families/{name}.json")["series"]]
    assert len(set(names)) == len(names)


def test_what_the_tables_say_is_of_models_that_the_records_have():
    from diffsynth.families import FAMILIES

    spec = importlib.util.spec_from_file_location("write_family_tables", TOOL.with_name("write_family_tables.py"))
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    for path, text in tool.tables().items():
        assert path.read_text("utf-8") == text, "run tools/write_family_tables.py"
    for family in FAMILIES:
        table = read(f"families/{family.name}.json")
        patterns = [one["models"] for one in (*table["series"], *table["memory"])]
        for pattern in patterns:
            assert any(re.search(pattern, model_id, re.IGNORECASE) for model_id in family.models), pattern
        others = [model_id for other in FAMILIES if other is not family for model_id in other.models]
        for pattern in patterns:
            assert not any(re.search(pattern, model_id, re.IGNORECASE) for model_id in others), pattern
