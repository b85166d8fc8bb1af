"""Printing npu tensors: their numbers are formatted on the host, as torch formats in float64."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def install() -> None:
    """Makes torch's formatter read npu tensors through the host; called once."""
    format_numbers: Any = torch._tensor_str._tensor_str

    def format_on_host(tensor: Tensor, indent: int) -> str:
        host = tensor.cpu() if tensor.is_npu else tensor  # type: ignore[attr-defined]
        text: str = format_numbers(host, indent)
        return text

    torch._tensor_str._tensor_str = format_on_host
