"""Layers that stand in for torch's: activations, an LSTM in both directions, a loss."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn


def _deprecated(name: str, instead: str) -> None:
    warnings.warn(f"{name} is deprecated. Please {instead}.", FutureWarning, stacklevel=3)


class Mish(nn.Module):
    """x * tanh(softplus(x))."""

    def __init__(self) -> None:
        super().__init__()
        _deprecated("torch_npu.contrib.module.Mish", "use torch.nn.Mish as a replacement")

    def forward(self, x: Tensor) -> Tensor:
        """npu_mish."""
        result: Tensor = torch.ops.npu.npu_mish(x)
        return result


class SiLU(nn.Module):
    """x * sigmoid(x)."""

    def __init__(self) -> None:
        super().__init__()
        _deprecated("torch_npu.contrib.module.SiLU", "use torch.nn.SiLU as a replacement")

    def forward(self, x: Tensor) -> Tensor:
        """npu_silu."""
        result: Tensor = torch.ops.npu.npu_silu(x)
        return result


Swish = SiLU


class BiLSTM(nn.Module):
    """Two LSTMs, one of which goes backward."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        _deprecated("torch_npu.contrib.BiLSTM", "check the documentation for a replacement")
        self.fw_rnn, self.bw_rnn = nn.LSTM(input_size, hidden_size), nn.LSTM(input_size, hidden_size)

    def forward(self, inputs: Tensor) -> Tensor:
        """[T, N, input_size] as [T, N, 2 * hidden_size]."""
        backward = self.bw_rnn(inputs.flip(0))[0].flip(0)
        return torch.cat((self.fw_rnn(inputs)[0], backward), 2)


class LabelSmoothingCrossEntropy(nn.Module):
    """Cross entropy with the labels spread over all classes by ``smooth_factor``."""

    def __init__(self, num_classes: int = 1000, smooth_factor: float = 0.0) -> None:
        super().__init__()
        self.on_value = 1 - smooth_factor
        self.off_value = smooth_factor / (num_classes - 1)

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Mean loss of [N, C] and [N], in float32; C may differ from ``num_classes``, which spreads the labels."""
        labels = torch.ops.npu.npu_one_hot(target.int(), -1, pred.size(1), self.on_value, self.off_value)
        losses: Tensor = torch.ops.npu.npu_softmax_cross_entropy_with_logits(pred, labels)
        return losses.mean(0, dtype=torch.float32)
