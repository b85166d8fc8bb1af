"""What DiffSynth-Studio computes otherwise where it finds an NPU: on the CPU the trial has it do the same.

Z-Image's norms and rotary embedding are fused operators there (`apply_npu_patch`), which round once where the plain
forms round between their steps, and FLUX.2's table of positions is in float32 instead of float64. In bfloat16 frames
differ by some levels then: no fault of a port, and none of the device's. With the same computation on the CPU, the
results of all ways are to be the same again.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from script_trial.adapter import TrialOfAdapter
from script_trial.adapters.studio.library import studio
from script_trial.on_import import on_import

_FUSED = "the CPU computes Z-Image's norms and rotary embedding as the NPU's fused operators do: rounded once"
_SINGLE = "the CPU computes FLUX.2's table of positions in float32, as the NPU does"


class FusedOnHost:
    """In the place of torch_npu: of its operators, those that DiffSynth-Studio's patch calls."""

    @staticmethod
    def npu_rms_norm(x: Tensor, gamma: Tensor, epsilon: float = 1e-06) -> tuple[Tensor, Tensor]:
        """x / rms(x) * gamma over the last dimension, in the type of x, and 1 / rms(x), computed in float32."""
        wide = x.float()
        rstd = torch.rsqrt(wide.square().mean((-1,), keepdim=True) + epsilon)
        return (wide * rstd * gamma.float()).to(x.dtype), rstd

    @staticmethod
    def npu_rotary_mul(x: Tensor, cos: Tensor, sin: Tensor, rotary_mode: str = "half") -> Tensor:
        """x * cos + x turned * sin, computed in float32, for features of a pair side by side (interleave) or apart."""
        wide = x.float()
        if rotary_mode == "interleave":
            turned = torch.stack((-wide[..., 1::2], wide[..., ::2]), -1).flatten(-2)
        else:
            first, second = wide.chunk(2, -1)
            turned = torch.cat((-second, first), -1)
        return (wide * cos.float() + turned * sin.float()).to(x.dtype)


def compute_as_on_npu(trial: TrialOfAdapter) -> None:
    """Hooks into those modules as soon as they are imported, in a process that has no NPU."""
    if not studio("core.device.npu_compatible_device").IS_NPU_AVAILABLE:
        on_import(
            {
                "diffsynth.pipelines.z_image": lambda _: _fuse_z_image(trial),
                "diffsynth.models.flux2_dit": lambda _: _single_positions(trial),
            }
        )


def _single_positions(trial: TrialOfAdapter) -> None:
    network = studio("models.flux2_dit")
    table = network.get_1d_rotary_pos_embed

    @functools.wraps(table)
    def single(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("freqs_dtype") is torch.float64:
            trial.note(_SINGLE)
            kwargs["freqs_dtype"] = torch.float32
        return table(*args, **kwargs)

    network.get_1d_rotary_pos_embed = single


def _fuse_z_image(trial: TrialOfAdapter) -> None:
    pipeline, operators = studio("pipelines.z_image"), studio("core.npu_patch.npu_fused_operator")
    patch = pipeline.apply_npu_patch

    @functools.wraps(patch)
    def patched(enable_npu_patch: bool = True) -> Any:
        if not enable_npu_patch:
            return patch(enable_npu_patch)
        trial.note(_FUSED)
        operators.torch_npu = FusedOnHost
        pipeline.IS_NPU_AVAILABLE = True
        try:
            return patch(enable_npu_patch)
        finally:
            pipeline.IS_NPU_AVAILABLE = False

    pipeline.apply_npu_patch = patched
