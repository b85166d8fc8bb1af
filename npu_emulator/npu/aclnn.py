"""``torch.npu.aclnn``: the operator library's version, and its switch for convolutions in float32."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from npu_emulator.npu.devices import get_cann_version
from npu_emulator.npu.npu_config import conv

allow_hf32 = True


def version() -> str:
    """The version of CANN; empty, as none is installed."""
    return get_cann_version()


@contextlib.contextmanager
def flags(allow_hf32: bool = False) -> Iterator[None]:
    """``torch.npu.conv.allow_hf32`` for a block of code."""
    before = conv.allow_hf32
    conv.allow_hf32 = allow_hf32
    try:
        yield
    finally:
        conv.allow_hf32 = before
