"""The table of torch's surface against the installed torch: a name it does not know fails."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
import torch
from torch.utils._device import _device_constructors

from npu_compat.accelerators import read_table
from npu_compat.surface import find, read_surface

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


def operators_with_a_device():
    """Names of aten operators with an argument of type Device."""
    for schema in torch._C._jit_get_all_schemas():
        namespace, _, name = schema.name.partition("::")
        if namespace == "aten" and any("Device" in str(argument.type) for argument in schema.arguments):
            yield name


def test_every_operator_with_a_device_is_known():
    surface = read_surface()
    known = {*surface["factories"], *surface["not_factories"]}
    names = set(operators_with_a_device())
    assert len(names) > 60
    assert {name for name in names if hasattr(torch, name)} - known == set()
    methods = {name for name in names if hasattr(torch.Tensor, name) and not name.startswith("_")}
    assert methods - set(surface["methods"]) == set()


def test_every_factory_of_a_device_context_is_known():
    surface = read_surface()
    known = {getattr(torch, name) for name in surface["factories"] if hasattr(torch, name)}
    known |= {getattr(*find(path)) for path in surface["functions"] if find(path)}
    assert {function for function in _device_constructors() if function not in known} == set()


def test_the_table_has_what_the_facts_have():
    facts, surface = read_table("sources/device_surface.json"), read_surface()
    assert set(facts["tensor_methods_device"]) == set(surface["methods"])
    in_torch = {name for name, owners in facts["aten_device_reachable"].items() if "torch" in owners}
    assert in_torch - set(surface["not_factories"]) <= set(surface["factories"])


def test_what_the_table_names_is_there():
    surface = read_surface()
    assert [name for name in surface["factories"] if not hasattr(torch, name)] == []
    for path in (*surface["classes"], *surface["functions"]):
        module = path.rpartition(".")[0]
        if module.startswith(("torch.distributed.fsdp", "torch.distributed.pipelining", "torch.nn.attention")):
            pytest.importorskip(module)
        assert find(path) is not None, path


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


def test_every_public_callable_with_a_device_is_known():
    """A new one belongs into surface.json, or, if it needs no translation, into reviewed_surface.json."""
    surface, reviewed = read_surface(), json.loads(REVIEWED.read_text())
    known = {*surface["classes"], *surface["functions"]}
    known |= {name for names in surface["same"].values() for name in names}
    known |= {f"{module}.{name}" for module, names in reviewed["as_is"].items() for name in names}
    found = set(installed_surface())
    assert found - known == set()
    assert len(found) > 60
