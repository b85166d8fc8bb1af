"""A model without weights, and the weights read into it: each once, and straight to where it stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from diffsynth.core.loader.detection import ModelEntry, load_object
from diffsynth.core.loader.weight_source import WeightSource
from diffsynth.core.loader.weights import Weight, keys_in, weights_of
from diffsynth.core.progress import progress_bar


def build_on_meta(entry: ModelEntry) -> nn.Module:
    """The model, in eval mode, its tensors on the meta device: shapes without memory."""
    with torch.device("meta"), _WithoutValues():
        model: nn.Module = load_object(entry.model_class)(**entry.kwargs)
    if entry.vram_units:
        model.vram_units = entry.vram_units  # type: ignore[assignment]
    return model.eval().requires_grad_(False)


class _WithoutValues(TorchFunctionMode):
    """Leaves initial values out.

    On the meta device there is nothing to put them in, and yet drawing random ones makes torch import its compiler
    and symbolic mathematics: 70 MiB and two seconds of processor time.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in (Tensor.normal_, Tensor.uniform_) or getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@torch.no_grad()
def fill(
    model: nn.Module,
    source: WeightSource,
    key_map: Mapping[str, str],
    *,
    dtype: torch.dtype | None,
    device: str | torch.device,
) -> None:
    """Gives a model on the meta device its weights, with a progress bar of the source's bytes.

    Every parameter and persistent buffer is allocated once, at its final type and place, and read into. Parameters
    that are one stay one.

    Args:
        key_map: the source's name of each tensor, by its name in the model.
        dtype: of the floating-point tensors; None keeps the source's. Others always keep it.

    Raises:
        CheckpointError, ValueError: as `keys_in`; the model is then as it was.
    """
    keys = keys_in(source, model, weights_of(model), key_map)
    size = sum(source.headers[key].nbytes for key in keys.values())
    filled: dict[Weight, Tensor] = {}
    with progress_bar(total=size, unit="B", unit_scale=True, desc=type(model).__name__, leave=False) as bar:
        for weight, key in keys.items():
            header = source.headers[key]
            filled[weight] = weight.over(source.read(key, dtype if header.dtype.is_floating_point else None, device))
            bar.update(header.nbytes)
    for weight, tensor in filled.items():
        weight.put(tensor)
