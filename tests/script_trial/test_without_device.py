"""What ways share is imported before any has a device: it looks for none, and keeps nothing that is replaced later."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from script_trial import without_device

ROOT = Path(__file__).resolve().parents[2]

#: Imports it all, notes who asks for a device, and then looks for what `npu_compat` has replaced since.
_PROGRAM = """
import functools, json, sys, types
from script_trial import without_device
without_device.import_always()
import torch

asked = []

def noting(holder, name):
    own = getattr(holder, name)
    @functools.wraps(own)
    def noted(*args, **kwargs):
        asked.append(f"{holder.__name__}.{name}")
        return own(*args, **kwargs)
    setattr(holder, name, noted)
    return lambda: setattr(holder, name, own)

questions = "is_available", "device_count", "current_accelerator", "is_built"
holders = torch.cuda, torch.xpu, torch.mtia, torch.accelerator, torch.backends.mps
put_back = [noting(holder, name) for holder in holders for name in questions if hasattr(holder, name)]
before = set(sys.modules)
without_device.import_early(["diffsynth", "diffusers", "transformers"])
early = set(sys.modules) - before
for put in put_back:
    put()

from npu_compat import activation, patcher
replaced = {}
apply = patcher.Attribute.apply
def remembered(patch):
    replaced[id(getattr(patch.target, patch.name, None))] = getattr(patch.target, patch.name, None), patch.label
    return apply(patch)
patcher.Attribute.apply = remembered
activation.activate()
kept = [
    f"{module}.{name} of {replaced[id(value)][1]}"
    for module in early
    for name, value in vars(sys.modules[module]).items()
    if isinstance(value, types.FunctionType | types.BuiltinFunctionType) and id(value) in replaced
]
print(json.dumps({"asked": asked, "kept": sorted(kept), "early": sorted(early), "replaced": len(replaced)}))
"""


def test_what_is_imported_early_asks_for_no_device_and_is_redirected_later() -> None:
    environment = {**os.environ, "NPU_COMPAT": "0", "NPU_COMPAT_FALLBACK": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["asked"] == []
    assert [kept for kept in told["kept"] if not kept.startswith("torch._dynamo.")] == []
    assert told["replaced"] > 200
    assert {"diffsynth.diffusion.base_pipeline", "torch.distributed.tensor"} <= {*told["early"]}


def test_a_library_that_looks_for_a_device_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "looks_for_one.py").write_text("import importlib.util\nimportlib.util.find_spec('torch_npu')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(without_device, "ALWAYS", ("looks_for_one",))
    monkeypatch.delitem(sys.modules, "torch_npu", raising=False)  # what is there is not looked for
    finders = list(sys.meta_path)
    with pytest.raises(without_device.DeviceAskedFor, match="torch_npu was looked for before there is a device"):
        without_device.import_always()
    assert sys.meta_path == finders
