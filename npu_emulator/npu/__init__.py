"""The module ``torch.npu``: torch_npu's public names, over the emulated device.

It is imported once the backend is loaded, by :func:`npu_emulator.enable`.
"""

from __future__ import annotations

import sys
import types
from typing import Any

from npu_emulator import surface
from npu_emulator.npu import (
    aclnn,
    amp,
    autocast_utils,
    backends,
    devices,
    error_codes,
    graphs,
    legacy_types,
    memory,
    memory_viz,
    npu_config,
    pools,
    random,
    sanitizer,
    state,
    streams,
)
from npu_emulator.npu import (
    mstx as _mstx,
)
from npu_emulator.npu.mstx import mstx as mstx
from npu_emulator.npu.profile import profile as profile

# torch asks for these by name when it loads a checkpoint or re-runs a checkpointed block.
_utils = devices
_initialization_lock, _tls = state._initialization_lock, state._tls

#: One for each device, once the devices are open.
default_generators: tuple[Any, ...] = ()

_PARTS = (autocast_utils, backends, devices, error_codes, graphs, memory, npu_config, pools, random, state, streams)


def _defined_in(part: types.ModuleType) -> dict[str, Any]:
    # A part's own names: not what it imported, and nothing with a dunder.
    return {
        name: value
        for name, value in vars(part).items()
        if not name.startswith("__") and getattr(value, "__module__", part.__name__) == part.__name__
    }


for _part in _PARTS:
    globals().update(_defined_in(_part))
globals().update(legacy_types.legacy_types())
surface.complete(sys.modules[__name__], "torch_npu.npu")


def _submodules() -> dict[str, types.ModuleType]:
    """The submodules of torch_npu.npu by name: ours where we have one of that name, completed from this module."""
    ours = {
        "aclnn": aclnn,
        "amp": amp,
        "amp.autocast_mode": amp.autocast_mode,
        "amp.common": amp.common,
        "amp.grad_scaler": amp.grad_scaler,
        "autocast_utils": autocast_utils,
        "backends": backends,
        "graphs": graphs,
        "memory": memory,
        "mstx": _mstx,
        "npu_config": npu_config,
        "random": random,
        "streams": streams,
    }
    found = {}
    for full_name in surface.modules():
        name = full_name.removeprefix("torch_npu.npu.")
        if name != full_name:
            module = ours.get(name) or types.ModuleType(f"torch.npu.{name}", f"torch_npu.npu.{name}.")
            surface.complete(module, full_name, globals())
            found[name] = module
    return found


SUBMODULES = _submodules()
# What libraries take from these submodules although the submodules do not list it.
vars(SUBMODULES["memory"]).update(_defined_in(pools))
vars(SUBMODULES["utils"]).update(_defined_in(devices) | _defined_in(state) | _defined_in(streams))
SUBMODULES |= {"_memory_viz": memory_viz, "_sanitizer": sanitizer}
for _name, _module in SUBMODULES.items():
    _above, _, _leaf = _name.rpartition(".")
    vars(SUBMODULES[_above] if _above else sys.modules[__name__]).setdefault(_leaf, _module)

__all__ = sorted(name for name in surface.modules()["torch_npu.npu"])
