"""torch_npu's own operators on the emulated NPU, computed on the host as their published descriptions say.

One file a topic; :mod:`.namespace` puts them into ``torch.ops.npu``. Half types are computed in float32 and rounded
once, at the end.
"""

from __future__ import annotations

import importlib

TOPICS = (
    "activations",
    "attention",
    "boxes",
    "casts",
    "convolutions",
    "dropout",
    "inference_attention",
    "kv_cache",
    "losses",
    "matmul",
    "mla_prolog",
    "moe",
    "norms",
    "optimizer_steps",
    "paged_attention",
    "quantization",
    "reshapes",
    "rotary",
    "sampling",
    "softmax",
    "sparse_attention",
)


def load() -> None:
    """Imports every topic, which registers its kernels."""
    for topic in TOPICS:
        importlib.import_module(f"{__name__}.{topic}")
