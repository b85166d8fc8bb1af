"""torch.npu and torch_npu against the table of the wheel: names, parameters, members; and what is not emulated."""

from __future__ import annotations

import gc
import importlib
import inspect
import pickle
import re
import sys
import types
import weakref
from typing import Any

import pytest
import torch

from npu_emulator import surface
from npu_emulator.npu.not_emulated import NotEmulated, _Text, signature
from tests.machine import needs_emulator

pytestmark = needs_emulator

MODULES = surface.modules()
SELF = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)


def names() -> list[tuple[str, str]]:
    return [(module, name) for module, entries in MODULES.items() for name in entries]


def of(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def parameters(text: str) -> list[inspect.Parameter]:
    return list(signature(text).parameters.values())


def real_default(value: Any) -> Any:
    """The value of a default that the table has as text; the text itself where the name is one of the wheel's own."""
    if not isinstance(value, _Text):
        return value
    try:
        return eval(value.text, {"torch": torch, "dist": torch.distributed, "pickle": pickle})
    except NameError:
        return value


def differences(expected: list[inspect.Parameter], function: Any) -> list[str]:
    actual = inspect.signature(function).parameters
    found = []
    for parameter in expected:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        mine = actual.get(parameter.name)
        default = real_default(parameter.default)
        if mine is None or mine.kind != parameter.kind:
            found.append(f"{parameter.name}: {mine}")
        elif not isinstance(default, _Text) and real_default(mine.default) != default:
            found.append(f"{parameter.name}={mine.default!r}, not {default!r}")
    positional = [p.name for p in expected if p.kind is p.POSITIONAL_OR_KEYWORD]
    mine_positional = [p.name for p in actual.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    if mine_positional[: len(positional)] != positional:
        found.append(f"order: {mine_positional}")
    return found


def declares(owner: type, member: str) -> bool:
    """Whether a class has it as an annotation, which the table calls a value too."""
    return any(member in inspect.get_annotations(parent) for parent in owner.__mro__)


def test_the_table_is_the_whole_wheel() -> None:
    assert len(MODULES["torch_npu.npu"]) == 144
    assert {"torch_npu", "torch_npu.profiler", "torch_npu.utils", "torch_npu.distributed"} <= set(MODULES)
    assert len(names()) > 350


def test_every_module_imports_and_has_its_names() -> None:
    missing = [(module, name) for module, name in names() if not hasattr(importlib.import_module(module), name)]
    assert missing == []


def test_functions_and_classes_take_the_wheels_parameters() -> None:
    wrong = {}
    for module, name in names():
        entry = MODULES[module][name]
        if "parameters" in entry and (found := differences(parameters(entry["parameters"]), of(module, name))):
            wrong[f"{module}.{name}"] = found
    assert wrong == {}


def test_classes_have_the_wheels_methods_and_properties() -> None:
    wrong, missing = {}, object()
    for module, name in names():
        for member, text in MODULES[module][name].get("members", {}).items():
            owner = of(module, name)
            mine = inspect.getattr_static(owner, member, missing)
            if text == "value" and declares(owner, member):
                continue
            if mine is missing:
                wrong[f"{module}.{name}.{member}"] = ["missing"]
            elif text not in ("property", "value"):
                bound = getattr(owner, member)
                expected = parameters(text)
                static = isinstance(mine, (staticmethod, classmethod)) or text.startswith("self")
                if found := differences(expected if static else [SELF, *expected], bound):
                    wrong[f"{module}.{name}.{member}"] = found
    assert wrong == {}


# What is not emulated. A name that starts to work leaves this list.
NOT_EMULATED = {
    "torch_npu": {"HiFloat8Tensor"},
    "torch_npu.npu": {
        "NPUPluggableAllocator",
        "change_current_allocator",
        "check_uce_in_memory",
        "finalize_dump",
        "graph_task_group_begin",
        "graph_task_group_end",
        "graph_task_update_begin",
        "graph_task_update_end",
        "init_dump",
        "obfuscation_calculate",
        "obfuscation_finalize",
        "obfuscation_initialize",
        "restart_device",
        "set_dump",
        "stop_device",
    },
    "torch_npu.profiler": set(),
    "torch_npu.distributed": set(),
    "torch_npu.utils": set(),
}


@pytest.mark.parametrize("module", NOT_EMULATED)
def test_what_is_not_emulated_raises_its_name_and_the_reason_when_used(module: str) -> None:
    refused = set()
    for name, entry in MODULES[module].items():
        value = of(module, name)
        if getattr(value, "__doc__", "") != "Not emulated.":
            continue
        expected = parameters(entry.get("parameters", ""))
        arguments = [None for p in expected if p.default is p.empty and "*" not in str(p)]
        with pytest.raises(NotEmulated, match=rf"^{module}\.{name} works on Ascend hardware, but not .*: \w.+"):
            value(*arguments)
        refused.add(name)
    assert refused == NOT_EMULATED[module]


def test_values_and_members_of_what_is_not_emulated_raise_too() -> None:
    import torch_npu.dynamo.npugraph_ex
    from torch_npu.utils.syncbatchnorm import SyncBatchNorm

    with pytest.raises(NotEmulated, match=r"torch_npu.dynamo.npugraph_ex.CompilerConfig .*no graph compiler"):
        torch_npu.dynamo.npugraph_ex.CompilerConfig()
    with pytest.raises(NotEmulated, match=r"SyncBatchNorm.forward"):
        SyncBatchNorm.forward(None)


def test_transfer_to_npu_names_the_way() -> None:
    with pytest.raises(NotEmulated, match="import npu_compat"):
        importlib.import_module("torch_npu.contrib.transfer_to_npu")


def test_what_libraries_take_from_the_extension() -> None:
    from torch_npu import _C

    assert _C._npu_get_soc_version() == torch.npu.get_soc_version()
    assert _C._npu_getCurrentRawStream(0) == torch.npu.current_stream().npu_stream
    assert isinstance(torch.npu.get_device_properties(), _C._NPUDeviceProperties)
    assert _C._distributed_c10d.ProcessGroupHCCL.Options().hccl_config == {}
    tensor = torch.ones(2, device="npu")
    assert _C._weak_ref_tensor(tensor).data_ptr() == tensor.data_ptr()
    storage = tensor.untyped_storage()
    before = _C._storage_Use_Count(storage._cdata)
    view = tensor.view(2, 1)
    assert _C._storage_Use_Count(storage._cdata) == before + 1
    del view
    assert torch.npu.graphs.TensorWeakRef(tensor).data_ptr() == tensor.data_ptr()


def test_types_that_torch_has_no_number_for() -> None:
    import torch_npu

    assert (torch_npu.float8_e4m3fn, torch_npu.float8_e8m0fnu, torch_npu.float4_e2m1fn_x2) == (292, 293, 296)
    with pytest.raises(RuntimeError, match="npu_dtype_cast: dtype is float4_e2m1fn_x2"):
        torch_npu.npu_dtype_cast(torch.ones(2, device="npu"), torch_npu.float4_e2m1fn_x2)


def test_patches_set_what_they_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch_npu

    monkeypatch.setattr(torch.profiler, "profile", torch.profiler.profile)
    torch_npu._apply_patches([["profiler.profile", torch_npu.profiler.profile]])
    assert torch.profiler.profile is torch_npu.profiler.profile
    given = types.ModuleType("torch.made")
    monkeypatch.setitem(sys.modules, "torch.made", given)
    monkeypatch.setattr(torch, "made", given, raising=False)
    monkeypatch.setitem(sys.modules, "torch.made.within", given)
    value = types.ModuleType("value")
    torch_npu._apply_patches([["made.within", value]])
    assert torch.made.within is sys.modules["torch.made.within"] is value
    more = types.ModuleType("more")
    more.__all__, more.public, more.other = ["public"], 1, 2
    torch_npu._apply_patches([["made.within", more]])
    assert torch.made.within is value
    assert vars(value)["public"] == 1
    assert "other" not in vars(value)


def test_errors_carry_the_line_of_torch_npu(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch_npu.utils._error_code import ErrCode, dist_error

    assert torch.npu.ErrCode is ErrCode
    line = r"^\n\[ERROR\] \d{4}-\d\d-\d\d-\d\d:\d\d:\d\d \(PID:\d+, Device:0, RankID:-1\) "
    assert re.match(line + "ERR00003 PTA invalid value$", torch.npu.pta_error(ErrCode.VALUE))
    assert re.match(line + "ERR02200 DIST call hccl api failed$", dist_error(ErrCode.HCCL))
    monkeypatch.setenv("TORCH_NPU_COMPACT_ERROR_OUTPUT", "1")
    assert torch.npu.pta_error(ErrCode.VALUE) == ""


def test_private_parts_of_torch_npu() -> None:
    from torch_npu.npu import _memory_viz, _sanitizer

    kept = torch.ones(300, device="npu")
    snapshot = torch.npu.memory._snapshot()
    assert re.search(r"^stream_0;seg_\d+;active_allocated;\S+ \d+$", _memory_viz.segments(snapshot, str), re.MULTILINE)
    assert "stream_0;active_allocated" in torch.npu._memory_viz.memory(snapshot, str)
    with pytest.raises(NotEmulated, match=r"_sanitizer.enable_npu_sanitizer works .*: streams run one after another"):
        _sanitizer.enable_npu_sanitizer()
    del kept


def test_captures_collect_garbage_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    gc.disable()
    try:
        for asked in (False, True):
            monkeypatch.setattr(torch.npu.graphs, "force_npugraph_gc", asked)
            garbage = types.ModuleType("garbage")
            garbage.itself, kept = garbage, weakref.ref(garbage)
            del garbage
            with torch.npu.graph(torch.npu.NPUGraph()):
                torch.ones(2, device="npu").add_(1)
            assert (kept() is None) == asked
    finally:
        gc.enable()


def test_packages_that_few_programs_ask_for_are_imported_when_they_are(run: Any) -> None:
    found = run("""
        import sys
        import torch_npu
        assert not {"torch_npu.optim", "torch_npu.contrib"} & set(sys.modules)
        assert {"contrib", "optim"} <= set(dir(torch_npu))
        from torch_npu.optim.npu_fused_adamw import NpuFusedAdamW
        from torch_npu import *
        assert optim.NpuFusedAdamW is NpuFusedAdamW and torch_npu.optim is optim
        assert torch_npu.contrib is contrib
    """)
    assert found.returncode == 0, found.stderr
