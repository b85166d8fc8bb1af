"""The table of torch's surface against the installed torch, release by release.

A name that a tested release has and the table does not know fails; a newer torch may have more, which the report says.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import json
from pathlib import Path

import pytest
import torch
from torch.utils._device import _device_constructors

import npu_compat
from npu_compat.accelerators import read_table
from npu_compat.errors import UnsupportedOnAccelerator
from npu_compat.surface import find, known_releases, read_surface

TORCH = Path(torch.__file__).parent
REVIEWED = Path(__file__).with_name("reviewed_surface.json")
DEVICE_PARAMETERS = set(
    "device devices device_type device_index device_id device_ids output_device map_location pin_memory_device "
    "use_device target_device target_gpus activities".split()
)
# Packages without anything a program calls with a device of its own.
SKIPPED = tuple(
    "ao testing utils/benchmark utils/tensorboard utils/model_dump contrib onnx export cuda mtia xpu mps cpu "
    "headeronly nn/modules distributed/elastic distributed/launcher".split()
)


def minor(version: str) -> tuple[int, int]:
    major, second = version.split(".")[:2]
    return int(major), int(second)


INSTALLED = minor(torch.__version__)
newer_than_the_table = pytest.mark.skipif(
    minor(read_surface()["newest"]) < INSTALLED, reason=f"torch {torch.__version__} is newer than the table"
)


def expected_here(name: str) -> bool:
    """Whether the installed torch has ``name``, by the table."""
    came = [release for release, names in read_surface()["came"].items() if name in names]
    went = [release for release, names in read_surface()["went"].items() if name in names]
    return all(minor(release) <= INSTALLED for release in came) and all(minor(release) > INSTALLED for release in went)


def is_here(name: str) -> bool:
    with contextlib.suppress(ImportError):  # a module that nothing has imported yet, or a class
        importlib.import_module(name.rpartition(".")[0])
    return find(name) is not None


def operators_with_a_device():
    """Names of aten operators with an argument of type Device."""
    for schema in torch._C._jit_get_all_schemas():
        namespace, _, name = schema.name.partition("::")
        if namespace == "aten" and any("Device" in str(argument.type) for argument in schema.arguments):
            yield name


@newer_than_the_table
def test_every_operator_with_a_device_is_known():
    surface = read_surface()
    known = {*surface["factories"], *surface["not_factories"]}
    names = set(operators_with_a_device())
    assert len(names) > 60
    assert {name for name in names if hasattr(torch, name)} - known == set()
    methods = {name for name in names if hasattr(torch.Tensor, name) and not name.startswith("_")}
    assert methods - set(surface["methods"]) == set()


@newer_than_the_table
def test_every_factory_that_takes_tensors_is_known():
    surface = read_surface()
    taking = {
        name
        for name in surface["factories"]
        for schema in torch._C._jit_get_schemas_for_operator(f"aten::{name}")
        if any("Tensor" in str(argument.type) and not argument.is_out for argument in schema.arguments)
    }
    assert taking <= set(surface["of_tensors"]) <= set(surface["factories"])


@newer_than_the_table
def test_every_factory_of_a_device_context_is_known():
    surface = read_surface()
    known = {getattr(torch, name, None) for name in (*surface["factories"], *surface["not_factories"])}
    known |= {getattr(*find(path)) for path in surface["functions"] if find(path)}
    assert {function for function in _device_constructors() if function not in known} == set()


def test_the_table_has_what_the_facts_have():
    facts, surface = read_table("sources/device_surface.json"), read_surface()
    assert set(facts["tensor_methods_device"]) == set(surface["methods"])
    in_torch = {name for name, owners in facts["aten_device_reachable"].items() if "torch" in owners}
    assert in_torch - set(surface["not_factories"]) <= set(surface["factories"])


def test_what_the_table_names_is_there_from_its_release_on():
    surface = read_surface()
    assert [name for name in surface["factories"] if not hasattr(torch, name)] == []
    names = {*surface["classes"], *surface["functions"], *known_releases()}
    assert {name for name in names if is_here(name) != expected_here(name)} == set()


@pytest.fixture
def newer_torch(monkeypatch):
    """Two names that no table has."""

    def brand_new(device=None):
        raise AssertionError("torch's own was called")

    monkeypatch.setattr(torch.cuda, "brand_new", brand_new, raising=False)
    monkeypatch.setattr(torch.cuda, "__all__", [*torch.cuda.__all__, "brand_new"])
    monkeypatch.setattr(torch.accelerator, "also_new", brand_new, raising=False)
    monkeypatch.setattr(torch.accelerator, "__all__", [*torch.accelerator.__all__, "also_new"], raising=False)


def test_the_report_says_what_the_tables_do_not_know(newer_torch, redirect_anywhere):
    assert {"torch.cuda.brand_new", "torch.accelerator.also_new"} <= set(redirect_anywhere.unknown)
    assert "newer than the tables, so nothing is done for them: torch.cuda.brand_new" in str(redirect_anywhere)
    with pytest.raises(UnsupportedOnAccelerator, match=r"torch\.cuda\.brand_new is not available"):
        torch.cuda.brand_new()


@newer_than_the_table
def test_of_a_release_it_knows_the_report_has_nothing_to_say(redirect_anywhere):
    assert npu_compat.report().unknown == []


def takes_a_device(function: ast.FunctionDef) -> bool:
    arguments = function.args
    names = {argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    return bool(names & DEVICE_PARAMETERS)


def public_definitions(path: Path):
    """Public functions, and classes by their constructor, that take a device."""
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and takes_a_device(node):
            yield node.name
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            made = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name in ("__init__", "__new__")]
            if any(takes_a_device(function) for function in made):
                yield node.name


def installed_surface():
    for path in sorted(TORCH.rglob("*.py")):
        relative = path.relative_to(TORCH).with_suffix("")
        skipped = relative.as_posix().startswith(SKIPPED)
        if skipped or any(part.startswith("_") and part != "__init__" for part in relative.parts):
            continue
        if b"device" in path.read_bytes():
            module = ".".join(["torch", *(part for part in relative.parts if part != "__init__")])
            yield from (f"{module}.{name}" for name in public_definitions(path))


@newer_than_the_table
def test_every_public_callable_with_a_device_is_known():
    """A new one belongs into surface.json, or, if it needs no translation, into reviewed_surface.json."""
    surface, reviewed = read_surface(), json.loads(REVIEWED.read_text())
    known = {*surface["classes"], *surface["functions"]}
    known |= {name for names in surface["same"].values() for name in names}
    known |= {f"{module}.{name}" for module, names in reviewed["as_is"].items() for name in names}
    found = set(installed_surface())
    assert found - known == set()
    assert len(found) > 60
