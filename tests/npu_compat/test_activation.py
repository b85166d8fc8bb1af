"""activate, deactivate, redirected: torch comes back object by object, whatever happens in between."""

from __future__ import annotations

import gc
import pickle
import sys
import threading

import pytest
import torch

import npu_compat
from npu_compat import activation, detection
from npu_compat.errors import UnsupportedOnAccelerator


def everything():
    """Every attribute of every loaded module of torch, and of every class in them, by identity."""
    seen = {}
    for name, module in list(sys.modules.items()):
        if name == "torch" or name.startswith("torch."):
            for attribute, value in list(vars(module).items()):
                seen[name, attribute] = id(value)
                if isinstance(value, type) and str(getattr(value, "__module__", "")).startswith("torch"):
                    seen.update({(name, attribute, key): id(inner) for key, inner in list(vars(value).items())})
    return seen


@pytest.fixture
def settled(npu):
    """A first round, so that what torch and Python make on first use is there."""
    with npu_compat.redirected():
        pass


def test_torch_is_as_it_was_object_by_object(settled):
    import os

    gc.collect()
    before, variables, finders = everything(), dict(os.environ), list(sys.meta_path)
    registry = list(torch.serialization._package_registry)
    defaults = dict(torch.distributed.Backend.default_device_backend_map)
    with npu_compat.redirected() as report:
        assert report.active
        assert len(report.redirected) > 300
        changed = {key for key, value in everything().items() if before.get(key) != value}
        assert ("torch", "device") in changed
    after = everything()
    assert {key for key in before if after.get(key) != before[key]} == set()
    assert after.keys() == before.keys()
    assert (dict(os.environ), list(sys.meta_path)) == (variables, finders)
    assert torch.serialization._package_registry == registry
    assert torch.distributed.Backend.default_device_backend_map == defaults


def test_what_arithmetic_calls_is_never_touched(settled):
    names = ("__add__", "__matmul__", "__getitem__", "shape", "dtype", "device", "add", "backward")
    before = [getattr(torch.Tensor, name) for name in names]
    with npu_compat.redirected():
        assert all(getattr(torch.Tensor, name) is kept for name, kept in zip(names, before, strict=True))
        assert torch.cuda is sys.modules["torch.cuda"]


def test_reference_counts(settled):
    raw = torch.zeros
    npu_compat.activate()
    wrapper = torch.zeros
    with npu_compat.redirected():
        assert torch.zeros is wrapper
    assert torch.zeros is wrapper is not raw
    npu_compat.deactivate()
    assert torch.zeros is raw
    npu_compat.deactivate()
    assert torch.zeros is raw
    assert not npu_compat.report().active


def test_all_or_nothing(settled, monkeypatch):
    before = everything()
    monkeypatch.setattr(activation, "make_plan", _failing_plan(activation.make_plan))
    with pytest.raises(ZeroDivisionError):
        npu_compat.activate()
    monkeypatch.undo()
    after = everything()
    assert {key for key in before if after.get(key) != before[key]} == set()
    assert not npu_compat.report().active
    assert str(torch.device("cuda")) == "cuda"


def _failing_plan(make_plan):
    class Failing:
        label = "fails"

        def apply(self):
            return 1 / 0

        def in_force(self):
            return True

    def plan(*arguments):
        made = make_plan(*arguments)
        made.patches.append(Failing())
        return made

    return plan


def test_threads(settled):
    raw, failures = torch.zeros, []

    def work():
        try:
            for _ in range(5):
                with npu_compat.redirected():
                    assert torch.zeros(1, device="cuda").device.type == "npu"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert torch.zeros is raw


def test_a_wrapper_kept_afterwards_does_nothing(settled):
    with npu_compat.redirected():
        zeros, device = torch.zeros, torch.device
    assert zeros(2).shape == (2,)
    assert str(device("cuda:1")) == "cuda:1"
    with npu_compat.redirected():
        assert zeros(2, device="cuda").device.type == "npu"


def test_modules_imported_while_active_are_redirected_and_put_back(emulated, run_python):
    program = """
import torch, npu_compat
from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler
assert ShardedGradScaler()._device == "npu"
npu_compat.deactivate()
assert ShardedGradScaler()._device == "cuda"
npu_compat.activate()
assert ShardedGradScaler()._device == "npu"
"""
    done = run_python("-c", program, env=emulated)
    assert done.returncode == 0, done.stderr


def test_on_real_cuda_nothing_is_done(settled, monkeypatch):
    before = everything()
    monkeypatch.setattr(activation, "detect", lambda: detection.Detection("cuda", None, "torch.cuda is real here"))
    with npu_compat.redirected() as report:
        after = everything()
        assert {key for key in before if after.get(key) != before[key]} == set()
        assert (report.kind, report.redirected) == ("cuda", [])


def test_what_the_program_replaces_itself_is_reported_and_kept(redirect_anywhere):
    def mine(*sizes):
        return "mine"

    raw, method = torch.zeros.__wrapped__, torch.Tensor.new_zeros.__wrapped__
    try:
        torch.zeros = torch.Tensor.new_zeros = mine
        assert npu_compat.report().replaced_by_others == ["torch.zeros", "torch.Tensor.new_zeros"]
        npu_compat.deactivate()
        assert torch.zeros is torch.Tensor.new_zeros is mine
        assert "replaced by the program itself since: torch.Tensor.new_zeros, torch.zeros" in str(npu_compat.report())
    finally:
        torch.zeros = raw
        del torch.Tensor.new_zeros  # torch's own is inherited
    assert torch.Tensor.new_zeros is method
    npu_compat.activate()


def test_import_hooks_that_the_program_puts_back(emulated, run_python):
    """As test suites do; and a module that is loaded anew."""
    program = """
import importlib, sys
saved = list(sys.meta_path)
import torch, npu_compat
raw = torch.zeros.__wrapped__
sys.meta_path[:] = saved
assert npu_compat.report().replaced_by_others == ["modules of torch that are loaded later"]
npu_compat.deactivate()
assert torch.zeros is raw
assert not npu_compat.report().active and not npu_compat.report().not_put_back
assert str(torch.device("cuda")) == "cuda"
npu_compat.activate()
importlib.reload(torch.cuda)
assert "torch.cuda.synchronize" in npu_compat.report().replaced_by_others
loaded = torch.cuda.synchronize
npu_compat.deactivate()
assert torch.cuda.synchronize is loaded
"""
    done = run_python("-c", program, env=emulated)
    assert done.returncode == 0, done.stderr


def test_undoing_goes_on_past_a_step_that_fails(settled, monkeypatch):
    class Stuck:
        label = "a thing that is stuck"

        def apply(self):
            return lambda: 1 / 0

        def in_force(self):
            return True

    raw, make_plan = torch.zeros, activation.make_plan

    def stuck_plan(*arguments):
        made = make_plan(*arguments)
        made.patches.append(Stuck())
        return made

    monkeypatch.setattr(activation, "make_plan", stuck_plan)
    npu_compat.activate()
    with pytest.warns(RuntimeWarning, match=r"could not put back a thing that is stuck \(ZeroDivisionError"):
        npu_compat.deactivate()
    assert torch.zeros is raw
    assert list(npu_compat.report().not_put_back) == ["a thing that is stuck"]


def test_a_late_patch_that_fails_is_left_out_and_reported(redirect_anywhere, monkeypatch):
    class Failing:
        label = "torch.later"

        def apply(self):
            return 1 / 0

    late_patches, table = activation.late_patches, {}
    monkeypatch.setattr(
        activation, "late_patches", lambda *_: [Failing(), activation.Entry(table, "key", "value", "a table")]
    )
    activation._patch_late("torch.later")
    assert table == {"key": "value"}
    assert npu_compat.report().left_out == {"torch.later": "ZeroDivisionError: division by zero"}
    assert torch.zeros(1, device="cuda").device.type != "cuda"
    monkeypatch.setattr(activation, "late_patches", lambda *_: late_patches(1, 2, 3))
    activation._patch_late("torch.latest")
    assert "torch.latest" in npu_compat.report().left_out


def test_report(redirect):
    report = npu_compat.report()
    assert report.accelerator == "npu"
    assert "torch.zeros" in report.redirected
    assert "torch.cuda.nvtx.range_push" in report.quiet
    assert report.missing["torch.cuda.list_gpu_processes"] == "npu-smi info"
    assert "npu_compat: active" in str(report)
    assert report.as_dict()["kind"] == "accelerator"


def test_the_error_of_a_missing_call_survives_pickling():
    error = UnsupportedOnAccelerator("torch.cuda.jiterator", "npu", "atlas-a2", "torch.compile")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert (again.api, again.hardware) == ("torch.cuda.jiterator", "atlas-a2")


@pytest.mark.parametrize("value", ["yes", "2"])
def test_a_switch_that_is_neither_0_nor_1(monkeypatch, value):
    monkeypatch.setenv("NPU_COMPAT", value)
    with pytest.raises(ValueError, match="NPU_COMPAT"):
        activation.activate_on_import()
