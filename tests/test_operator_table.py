"""The table of operators: made from definitions by tools/make_operators.py, and well formed as it is kept."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

ROOT = Path(__file__).resolve().parent.parent
PRODUCTS = ("atlas-a2", "atlas-a3", "ascend-950", "atlas-training", "atlas-inference", "atlas-200i-500-a2")


def function(params: dict, notes: tuple = (), missing: tuple = (), kernels: tuple = ()) -> dict:
    products = {product: product not in missing for product in PRODUCTS}
    return {"params": params, "notes": list(notes), "products": products, "kernels": list(kernels)}


FACTS = {
    "sources": {"op-plugin": "0"},
    "functions": {
        "aclnnAdd": function({"self": ["float32", "int64"], "other": ["float32"], "out": "as self"}, kernels=("Add",)),
        "aclnnAdds": function({"self": ["float32", "uint64"], "other": ["float32"]}),
        "aclnnIndex": function(
            {"self": ["float32", "complex64"], "indices": ["int64"]},
            notes=({"products": ["atlas-a2"], "without": ["complex64"]},),
        ),
        "aclnnAtanh": function({"input": ["float32"]}, missing=("ascend-950",)),
    },
    "kernels": {"Add": {"ai_core": {"default": ["float32"]}, "ai_cpu": True}},
    "operators": {
        "add.Tensor": {
            "section": "official",
            "schema": "add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor",
            "aclnn": ["aclnnAdd", "aclnnAdds"],
        },
        "add.out": {
            "section": "official",
            "schema": "add.out(Tensor self, Tensor other, *, Scalar alpha=1, Tensor(a!) out) -> Tensor(a!)",
            "aclnn": ["aclnnAdd"],
        },
        "index.Tensor": {
            "section": "official",
            "schema": "index.Tensor(Tensor self, Tensor?[] indices) -> Tensor",
            "aclnn": ["aclnnIndex"],
        },
        "atanh": {"section": "official", "schema": "atanh(Tensor self) -> Tensor", "aclnn": ["aclnnAtanh"]},
        "npu_own": {"section": "custom", "schema": "npu_own(Tensor self) -> Tensor", "aclnn": ["aclnnAdd"]},
        "lstm.input": {"section": "official", "schema": "lstm.input(Tensor self) -> Tensor", "aclnn": []},
    },
}


def loaded(name, monkeypatch):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tool(monkeypatch, tmp_path):
    module = loaded("make_operators", monkeypatch)
    monkeypatch.setattr(module, "TABLE", tmp_path / "ascend_operators.json")
    return module


@pytest.fixture
def checker(monkeypatch, tmp_path):
    module = loaded("check_operators", monkeypatch)
    monkeypatch.setattr(module, "PAGE", tmp_path / "operators-in-doubt.md")
    return module


@pytest.fixture
def table(tool):
    return tool.table(FACTS)


def types(table: dict, operator: str, key: str, argument: str, line: str) -> set | None:
    value = table["operators"][operator][key][argument]
    number = value[table["lines"].index(line)] if isinstance(value, list) else value
    return None if number is None else set(table["sets"][number])


def test_the_form_with_a_number_counts_only_with_one(table):
    assert types(table, "add.Tensor", "takes", "self", "atlas-a2") == {"float32", "int64"}
    assert types(table, "add.Tensor", "with_a_number", "self", "atlas-a2") == {"float32", "int64", "uint64"}


def test_a_parameter_that_follows_another_has_its_types(table):
    assert types(table, "add.out", "takes", "out", "atlas-a2") == {"float32", "int64"}


def test_what_no_kernel_has_on_the_ai_core_runs_on_the_ai_cpu(table):
    assert types(table, "add.out", "ai_cpu", "self", "atlas-a2") == {"int64"}


def test_a_note_is_about_its_products(table):
    assert types(table, "index.Tensor", "takes", "self", "atlas-a2") == {"float32"}
    assert types(table, "index.Tensor", "takes", "self", "ascend-950dt") == {"float32", "complex64"}
    assert types(table, "index.Tensor", "takes", "indices", "atlas-a2") == {"int64"}


def test_a_line_lacks_what_neither_the_definitions_nor_the_pages_have(table):
    assert table["operators"]["atanh"]["missing"] == ["ascend-950dt"]
    assert types(table, "atanh", "takes", "self", "ascend-950dt") is None


def test_only_torchs_own_operators_are_in_it_and_what_is_unknown_is_left_open(table):
    assert "npu_own" not in table["operators"]
    assert table["operators"]["lstm.input"] == {}


def test_the_command_writes_and_checks(tool, tmp_path):
    (tmp_path / "ascend_ops.json").write_text(json.dumps(FACTS))
    run = CliRunner().invoke
    assert run(tool.main, [str(tmp_path), "--check"]).exit_code == 1
    assert run(tool.main, [str(tmp_path)]).exit_code == 0
    assert run(tool.main, [str(tmp_path), "--check"]).exit_code == 0
    assert json.loads(tool.TABLE.read_text())["operators"]["atanh"]


@pytest.mark.parametrize(
    ("operator", "operands", "best"),
    [
        ("remainder.Scalar", "Tensor self, Scalar other", "aclnnRemainderTensorScalar"),
        ("remainder.Scalar_Tensor", "Scalar self, Tensor other", "aclnnRemainderScalarTensor"),
        ("remainder.Tensor_out", "Tensor self, Tensor other, *, Tensor(a!) out", "aclnnRemainderTensorTensor"),
    ],
)
def test_the_function_for_the_operands_is_named_first(tool, operator, operands, best):
    functions = [f"aclnnRemainder{form}" for form in ("ScalarTensor", "TensorScalar", "TensorTensor")]
    schema = f"{operator}({operands}) -> Tensor"
    assert max(functions, key=lambda one: tool.likeness(operator, schema, one)) == best


def test_doubts_are_where_a_page_lists_what_the_table_refuses(checker):
    listed = {"lim": {"dtypes": {"self": ["fp32", "int16"]}}}
    doubts = list(checker.pages(checker.Table(), {"torch.neg": listed, "torch.hypot": listed, "torch.cat": {}}))
    assert [(doubt.operator, doubt.types, doubt.follows) for doubt in doubts] == [
        ("neg", ("int16",), "the code, which was read")
    ]


def test_a_form_for_lists_that_is_taken_apart_takes_what_the_operator_takes(checker):
    table = checker.Table()
    assert {"int64", "bool"} <= table.taken("_foreach_exp")
    assert not {"uint8", "float64"} & table.taken("_foreach_exp")
    assert table.taken("_foreach_abs") == table.taken("abs")


def test_the_page_of_doubts_is_written_and_checked(checker, tmp_path):
    run = CliRunner().invoke
    result = run(checker.main, [str(tmp_path)])
    assert result.exit_code == 2
    assert "torch_npu_support.json: no such file" in result.output
    (tmp_path / "torch_npu_support.json").write_text(json.dumps({"versions": {"2.13.0": {}}}))
    assert run(checker.main, [str(tmp_path), "--check"]).exit_code == 1
    assert run(checker.main, [str(tmp_path)]).exit_code == 0
    assert run(checker.main, [str(tmp_path), "--check"]).exit_code == 0
    assert "| atlas-a3 takes what atlas-a2 refuses |" in checker.PAGE.read_text()


def test_facts_that_are_none(tool, tmp_path):
    result = CliRunner().invoke(tool.main, [str(tmp_path)])
    assert result.exit_code == 2
    assert "ascend_ops.json: no such file" in result.output


def test_the_kept_table_is_well_formed():
    kept = json.loads((ROOT / "accelerator_tables" / "ascend_operators.json").read_text(encoding="utf-8"))
    assert len(kept["operators"]) > 1000
    for name, entry in kept["operators"].items():
        assert set(entry) <= {"aclnn", "takes", "with_a_number", "ai_cpu", "missing"}, name
        assert set(entry.get("missing", ())) <= set(kept["lines"])
        for key in ("takes", "with_a_number", "ai_cpu"):
            for value in entry.get(key, {}).values():
                numbers = value if isinstance(value, list) else [value]
                assert len(numbers) in (1, len(kept["lines"])), name
                assert all(number is None or 0 <= number < len(kept["sets"]) for number in numbers), name
