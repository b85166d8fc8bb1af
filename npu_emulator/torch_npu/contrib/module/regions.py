"""Pooling of regions of interest, whose operators are not emulated: each ``forward`` raises."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ROIAlign(nn.Module):
    """npu_roi_align; takes float32."""

    def __init__(
        self, output_size: tuple[int, int], spatial_scale: float, sampling_ratio: int, aligned: bool = True
    ) -> None:
        super().__init__()
        self.output_size, self.spatial_scale = output_size, spatial_scale
        self.sampling_ratio, self.aligned = sampling_ratio, aligned

    def forward(self, input_tensor: Tensor, rois: Tensor) -> Tensor:
        """[N, C, H, W] and the boxes [K, 5], image and corners, as [K, C, *output_size].

        Raises:
            ValueError: the boxes are of another shape.
            NotEmulated: always otherwise.
        """
        if rois.dim() != 2 or rois.size(1) != 5:
            raise ValueError(f"ROIAlign: expected rois of shape [K, 5], but got {list(rois.shape)}")
        result: Tensor = torch.ops.npu.npu_roi_align(
            input_tensor.float(),
            rois,
            self.spatial_scale,
            self.output_size[0],
            self.output_size[1],
            self.sampling_ratio,
            3 if self.aligned else 0,
        )
        return result

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"output_size={self.output_size}, spatial_scale={self.spatial_scale}, "
            f"sampling_ratio={self.sampling_ratio}, aligned={self.aligned}"
        )


class PSROIPool(nn.Module):
    """npu_ps_roi_pooling."""

    def __init__(
        self,
        pooled_height: int = 7,
        pooled_width: int = 7,
        spatial_scale: float = 1 / 16.0,
        group_size: int = 7,
        output_dim: int = 22,
    ) -> None:
        super().__init__()
        if not pooled_height == pooled_width == group_size:
            raise ValueError(
                "only pooled_height == pooled_width == group_size supported, but got "
                f"{pooled_height}, {pooled_width} and {group_size}"
            )
        self.group_size, self.spatial_scale, self.output_dim = group_size, spatial_scale, output_dim

    def forward(self, features: Tensor, rois: Tensor) -> Tensor:
        """Raises NotEmulated."""
        result: Tensor = torch.ops.npu.npu_ps_roi_pooling(
            features, rois, self.spatial_scale, self.group_size, self.output_dim
        )
        return result
