"""What comes from NVIDIA beside torch: command-line tools, images of containers, and what stands in their place."""

from __future__ import annotations

import re

from porter.targets import Accelerator

TOOLS = frozenset(
    "nvidia-smi nvcc nsys ncu nvprof dcgmi compute-sanitizer cuda-gdb cuda-memcheck nvitop gpustat nvtop".split()
)

_PROFILERS = frozenset({"nsys", "ncu", "nvprof"})
_MONITORS = frozenset({"nvidia-smi", "dcgmi", "nvitop", "gpustat", "nvtop"})

_OF_NVIDIA = re.compile(r"(?:docker\.io/)?nvidia/\S+|nvcr\.io/\S+")
_WITH_CUDA = re.compile(r"\S*(?:cuda|cudnn|[-_.:]cu\d{2,3})\S*", re.IGNORECASE)


def instead_of(tool: str, new: Accelerator) -> str:
    """What to do without the tool on a target."""
    if tool in _MONITORS:
        return new.tools.get("monitor", "ask torch.accelerator")
    if tool in _PROFILERS:
        return new.tools.get("profiler", "torch.profiler")
    return "take out what it compiles" if tool == "nvcc" else "leave it out"


def judged_image(image: str, title: str) -> str | None:
    """What to build on instead of an image made for CUDA; None for any other image."""
    if not (_OF_NVIDIA.fullmatch(image) or _WITH_CUDA.fullmatch(image)):
        return None
    return "an image with CANN: ascendai/cann" if "Ascend" in title else f"an image with the drivers of {title}"
