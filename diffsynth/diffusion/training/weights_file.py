"""The trained weights as a file that pipelines load."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from accelerate import Accelerator


def save_weights(
    accelerator: Accelerator,
    network: nn.Module,
    path: Path,
    *,
    names: Collection[str],
    dtype: torch.dtype,
    remove_prefix: str,
) -> None:
    """Writes the parameters of these names, gathered from all processes. Every process takes part.

    The file appears under its name only when it is whole.

    Args:
        network: as accelerate has prepared it.
        remove_prefix: cut off names in the file, where they have it.
    """
    from safetensors.torch import save_file

    state = accelerator.get_state_dict(network)
    if accelerator.is_main_process:
        kept = {
            name.removeprefix(remove_prefix): tensor.detach().to("cpu", dtype).contiguous()
            for name, tensor in state.items()
            if name in names
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.unfinished")
        save_file(kept, unfinished, metadata={"format": "pt"})
        unfinished.replace(path)
    accelerator.wait_for_everyone()
