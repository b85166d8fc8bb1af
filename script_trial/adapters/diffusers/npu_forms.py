"""Layers that diffusers computes otherwise on an NPU, computed so in the reference too.

Where there is an NPU, diffusers hands two layers to the NPU's own kernels, and their results are others than a GPU's
by more than rounding: GEGLU has its GELU by tanh, and RMSNorm rounds once, after its weight. Without the same in the
reference, every pipeline that has one of them would differ, and a port could not be told right from wrong.
"""

from __future__ import annotations

from typing import Any

from script_trial.adapter import TrialOfAdapter


def compute_as_on_npu(trial: TrialOfAdapter) -> None:
    """Changes the two layers, unless this process has an NPU, where diffusers does so itself."""
    from diffusers.models.activations import GEGLU
    from diffusers.models.normalization import RMSNorm
    from diffusers.utils import is_torch_npu_available

    if is_torch_npu_available():
        return
    GEGLU.forward = _geglu(trial)
    RMSNorm.forward = _rms_norm(trial, RMSNorm.forward)


def _geglu(trial: TrialOfAdapter) -> Any:
    def forward(layer: Any, hidden_states: Any, *args: Any, **keywords: Any) -> Any:
        from torch.nn.functional import gelu

        trial.note("GEGLU by tanh, as diffusers has it on an NPU, in the reference too")
        value, gate = layer.proj(hidden_states).chunk(2, dim=-1)
        return (value * gelu(gate.float(), approximate="tanh")).to(value.dtype)

    return forward


def _rms_norm(trial: TrialOfAdapter, usual: Any) -> Any:
    def forward(layer: Any, hidden_states: Any) -> Any:
        import torch

        if layer.weight is None:
            return usual(layer, hidden_states)
        trial.note("RMSNorm rounded once, as diffusers has it on an NPU, in the reference too")
        if layer.weight.dtype in (torch.float16, torch.bfloat16):
            hidden_states = hidden_states.to(layer.weight.dtype)
        wide = hidden_states.float()
        rstd = torch.rsqrt(wide.square().mean(-1, keepdim=True) + layer.eps)
        normalized = (wide * rstd * layer.weight.float()).to(hidden_states.dtype)
        return normalized if layer.bias is None else normalized + layer.bias

    return forward
