"""On hardware, importing this sends torch.cuda calls to the NPU. Here npu_compat is what does that.

With npu_compat active the import has nothing left to do.

Raises:
    NotEmulated: npu_compat is not active; names it.
"""

from __future__ import annotations

import sys

from npu_emulator.npu.not_emulated import refuse

_redirect = sys.modules.get("npu_compat")
if _redirect is None or not _redirect.report().active:
    refuse("torch_npu.contrib.transfer_to_npu")
