"""``torch.npu._sanitizer``: looks for races between streams, which here run one after another."""

from __future__ import annotations

from npu_emulator.npu.not_emulated import placeholder


class SanitizerMode:
    """What is looked at."""

    STREAM = 0
    KERNEL = 1


_MODULE = "torch_npu.npu._sanitizer"
NPUSanitizer = placeholder("NPUSanitizer", _MODULE, {"kind": "class"})
enable_npu_sanitizer = placeholder("enable_npu_sanitizer", _MODULE, {"kind": "function", "parameters": ""})
