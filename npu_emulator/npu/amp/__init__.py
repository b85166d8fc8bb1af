"""Automatic mixed precision under torch_npu's names."""

from npu_emulator.npu.amp import common
from npu_emulator.npu.amp.autocast_mode import autocast, custom_bwd, custom_fwd
from npu_emulator.npu.amp.grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "common", "custom_bwd", "custom_fwd"]
