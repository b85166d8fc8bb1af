"""The module ``torch.npu``: torch_npu's public names, over the emulated device.

It is imported once the backend is loaded, by :func:`npu_emulator.enable`.
"""

from __future__ import annotations

import types
from typing import Any

from npu_emulator.npu import (
    amp,
    autocast_utils,
    device_index,
    devices,
    graphs,
    legacy_types,
    memory,
    mstx,
    not_emulated,
    npu_config,
    random,
    state,
    streams,
)

# torch asks for these by name when it loads a checkpoint or re-runs a checkpointed block.
_utils = device_index
_initialized = True

#: One for each device, once the devices are open.
default_generators: tuple[Any, ...] = ()

_PARTS = (autocast_utils, device_index, devices, graphs, memory, npu_config, random, state, streams)


def _defined_in(part: types.ModuleType) -> dict[str, Any]:
    # A part's own names: not what it imported, and nothing with a dunder.
    return {
        name: value
        for name, value in vars(part).items()
        if not name.startswith("__") and getattr(value, "__module__", part.__name__) == part.__name__
    }


# The submodules torch_npu.npu has under these names; `utils` gathers several of ours.
utils = types.ModuleType("torch.npu.utils", "Devices and streams, as torch_npu.npu.utils has them.")
for _part in _PARTS:
    globals().update(_defined_in(_part))
    if _part in (device_index, devices, state, streams):
        vars(utils).update(_defined_in(_part))
globals().update(legacy_types.legacy_types())
globals().update({_name: not_emulated.placeholder(_name) for _name in not_emulated.NAMES})
for _part in (graphs, memory, streams):
    for _name, _placeholder in not_emulated.in_submodule(_part.__name__.rpartition(".")[2]).items():
        setattr(_part, _name, _placeholder)
        if not _name.startswith("_"):
            globals()[_name] = _placeholder

SUBMODULES: dict[str, types.ModuleType] = {
    "amp": amp,
    "amp.autocast_mode": amp.autocast_mode,
    "amp.common": amp.common,
    "amp.grad_scaler": amp.grad_scaler,
    "autocast_utils": autocast_utils,
    "graphs": graphs,
    "memory": memory,
    "mstx": mstx,
    "npu_config": npu_config,
    "random": random,
    "streams": streams,
    "utils": utils,
}

__all__ = sorted(name for name in globals() if not name.startswith("_") and name not in ("Any", "annotations", "types"))
