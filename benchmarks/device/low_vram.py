"""The low-VRAM script, by the interface that this library and DiffSynth-Studio share; prints what it took.

Run as a file, with PYTHONPATH naming the folder of one `diffsynth` or the other.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

PROMPTS = {
    "prompt": "a small dog runs over a green meadow in the sun",
    "negative_prompt": "blurred, static, grey, low quality",
}
FULL = {"height": 480, "width": 832, "num_frames": 81, "num_inference_steps": 4}
SMALL = {"height": 64, "width": 96, "num_frames": 5, "num_inference_steps": 2}


def main() -> None:
    """Prints seconds of the call and peaks in GiB, as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--limit", type=float)
    options = parser.parse_args()

    import torch

    from diffsynth.pipelines.wan_video import ModelConfig, WanVideoPipeline

    dtype = torch.bfloat16 if options.full else torch.float32
    device = None if options.device == "cpu" else torch.get_device_module(options.device)
    if device is None:
        torch.set_num_threads(1)
    limit = options.limit
    if limit is None and device is not None:
        limit = device.mem_get_info()[1] / 1024**3 - 2
    config = {"offload_dtype": "disk", "offload_device": "disk", "onload_dtype": dtype, "onload_device": "cpu"}
    for situation in ("preparing", "computation"):
        config |= {f"{situation}_dtype": dtype, f"{situation}_device": options.device}
    pipe = WanVideoPipeline.from_pretrained(
        torch_dtype=dtype,
        device=options.device,
        model_configs=[ModelConfig(path=str(file), **config) for file in sorted(options.folder.glob("*.safetensors"))],
        tokenizer_config=ModelConfig(path=str(options.folder / "tokenizer")),
        vram_limit=limit,
    )
    started = time.perf_counter()
    pipe(**PROMPTS, seed=0, tiled=True, **(FULL if options.full else SMALL))
    seconds = time.perf_counter() - started
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    locked = getattr(device, "host_memory_stats", dict)() or {}
    print(
        json.dumps(
            {
                "call": seconds,
                "host": host / 1024**3,
                "device": None if device is None else device.max_memory_allocated() / 1024**3,
                "locked": _in_gib(locked.get("allocated_bytes.peak")),
                "pieces": locked.get("num_host_alloc", locked.get("allocations.allocated")),
            }
        )
    )


def _in_gib(size: int | None) -> float | None:
    return None if size is None else size / 1024**3


if __name__ == "__main__":
    main()
