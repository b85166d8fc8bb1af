"""Saving in the background, and loading."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import torch
from torch.serialization import DEFAULT_PROTOCOL
from torch.utils._pytree import tree_map_only


def save_async(
    obj: object,
    f: Any,
    pickle_module: Any = pickle,
    pickle_protocol: int = DEFAULT_PROTOCOL,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
    model: torch.nn.Module | None = None,
) -> None:
    """torch.save in a thread of its own, of the values tensors have now.

    On hardware values are copied while the program goes on, up to the next step of ``model``; here they are copied
    before this returns. The interpreter waits for the thread before it ends.

    Raises:
        RuntimeError: the old file format is asked for.
    """
    if not _use_new_zipfile_serialization:
        raise RuntimeError("save_async takes _use_new_zipfile_serialization=True only; save a copy on the host instead")
    now = tree_map_only(torch.Tensor, lambda tensor: tensor.detach().clone(), obj)
    arguments = (now, f, pickle_module, pickle_protocol, True, _disable_byteorder_record)
    threading.Thread(target=torch.save, args=arguments, name="save_async").start()


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """torch.load."""
    return torch.load(f, map_location, pickle_module, weights_only=weights_only, mmap=mmap, **pickle_load_args)
