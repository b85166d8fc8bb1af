"""The attention kernels there may be: what each takes, and a small adapter to one signature.

An adapter is ``kernel(query, key, value, mask)``, which scales the products of queries and keys by 1 / sqrt(head_dim).
All tensors but the mask are (batch, length, heads, head_dim), and so is the result.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from diffsynth.core.device.device_types import CUDA, NPU, compute_capability

Kernel = Callable[[Tensor, Tensor, Tensor, "Tensor | None"], Tensor]
HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Implementation:
    """One kernel.

    Attributes:
        load: imports what it needs and returns the kernel.
        module: what has to be installed; empty where torch is enough.
        device_type: the only type of device it runs on; None for all.
        dtypes: the types of elements it takes; None for all.
        largest_head: the largest ``head_dim`` it takes.
        mask_dtypes: the types of masks it takes; None for all.
        capability: the CUDA compute capabilities it is for, from the first to before the second.
    """

    load: Callable[[], Kernel]
    module: str = ""
    device_type: str | None = None
    dtypes: Collection[torch.dtype] | None = None
    largest_head: int | None = None
    mask_dtypes: Collection[torch.dtype] | None = ()
    capability: tuple[tuple[int, int], tuple[int, int]] | None = None

    def why_not_installed(self) -> str:
        """What is missing; empty where nothing is."""
        return "" if not self.module or is_installed(self.module) else f"the module {self.module} is not installed"

    def why_not_on(self, device: torch.device) -> str:
        """Why it does not run on that device; empty where it does."""
        if self.device_type is not None and device.type != self.device_type:
            return f"it runs on {self.device_type} alone"
        here = compute_capability(device)
        if self.capability is not None and here is not None:
            first, end = self.capability
            if not first <= here < end:
                return f"it is for compute capability {first[0]}.{first[1]} up, below {end[0]}.{end[1]}; this is {here}"
        return ""

    def why_not_for(self, dtype: torch.dtype, head_dim: int, mask_dtype: torch.dtype | None) -> str:
        """Why it does not take such tensors; empty where it does."""
        if self.dtypes is not None and dtype not in self.dtypes:
            return f"it takes {' and '.join(_short(one) for one in self.dtypes)}, not {_short(dtype)}"
        if self.largest_head is not None and head_dim > self.largest_head:
            return f"it takes heads up to {self.largest_head} wide, not {head_dim}"
        if mask_dtype is not None and self.mask_dtypes is not None and mask_dtype not in self.mask_dtypes:
            return f"it takes no {_short(mask_dtype)} mask"
        return ""


def torch_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """torch's own, which in turn picks the best of the kernels that came with torch or the vendor's package."""
    query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
    output = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return output.transpose(1, 2)


def _function(module: str, name: str = "flash_attn_func", **settings: Any) -> Callable[[], Kernel]:
    """A package's function of query, key and value that takes the same layout; its default is flash-attention's."""
    return lambda: _kernel(getattr(importlib.import_module(module), name), **settings)


def _kernel(function: Callable[..., Any], **settings: Any) -> Kernel:
    def kernel(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        output = function(query, key, value, **settings)
        attended: Tensor = output[0] if isinstance(output, tuple) else output  # some versions add the log-sum-exp
        return attended

    return kernel


def _load_from_hub() -> Kernel:
    """A kernel of the same name from Hugging Face's kernel hub."""
    repository = os.environ.get("DIFFSYNTH_FLASH_ATTN_KERNEL_REPO_ID")
    version = os.environ.get("DIFFSYNTH_FLASH_ATTN_KERNEL_VERSION")
    if not repository:
        raise ImportError("DIFFSYNTH_FLASH_ATTN_KERNEL_REPO_ID names no repository")
    options = {"version": int(version)} if version else {}
    kernels = importlib.import_module("kernels").get_kernel(repository, **options)
    return _kernel(kernels.flash_attn_func)


def _load_npu_fusion_attention() -> Kernel:
    npu_fusion_attention = importlib.import_module("torch_npu").npu_fusion_attention

    def fusion_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        left_out = None
        if mask is not None:  # there True leaves a key out, and the last two dimensions are given in full
            of_heads = mask.shape[-3] if mask.dim() > 2 else 1
            batch = query.shape[0] if of_heads > 1 or mask.dim() > 3 else 1
            left_out = ~mask.expand(batch, of_heads, query.shape[1], key.shape[1])
        heads, scale = query.shape[2], query.shape[-1] ** -0.5
        output: Tensor = npu_fusion_attention(query, key, value, heads, "BSND", atten_mask=left_out, scale=scale)[0]
        return output

    return fusion_attention


def is_installed(module: str) -> bool:
    """Whether a module, perhaps one in a package, can be imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it
        return False


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


_EVERY_LATER = (99, 0)
_on_cuda = functools.partial(Implementation, device_type=CUDA, dtypes=HALF)

# Generations of flash-attention stand in the order of what they were written for: 3 for Hopper alone, 4 for Hopper and
# Blackwell. AMD has no compute capability in this sense; there the second generation alone is built.
IMPLEMENTATIONS = {
    "flash_attention_3": _on_cuda(
        _function("flash_attn_interface"),
        module="flash_attn_interface", largest_head=256, capability=((9, 0), (10, 0)),
    ),
    "flash_attention_4": _on_cuda(
        _function("flash_attn.cute"),
        module="flash_attn.cute", largest_head=128, capability=((9, 0), _EVERY_LATER),
    ),
    "flash_attention_2": _on_cuda(
        _function("flash_attn"),
        module="flash_attn", largest_head=256, capability=((8, 0), _EVERY_LATER),
    ),
    "npu_fusion_attention": Implementation(
        _load_npu_fusion_attention,
        module="torch_npu", device_type=NPU, dtypes=HALF, largest_head=256, mask_dtypes=(torch.bool,),
    ),
    "torch": Implementation(lambda: torch_attention, mask_dtypes=None),
    "sage_attention": _on_cuda(
        _function("sageattention", "sageattn", tensor_layout="NHD", is_causal=False),
        module="sageattention", largest_head=128, capability=((8, 0), _EVERY_LATER),
    ),
    "xformers": _on_cuda(
        _function("xformers.ops", "memory_efficient_attention"),
        module="xformers", dtypes=(*HALF, torch.float32),
    ),
    "customized_fa_kernel": _on_cuda(_load_from_hub, module="kernels", largest_head=256),
}  # fmt: skip
