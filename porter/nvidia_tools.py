"""The command-line tools of NVIDIA's driver and toolkit, and what stands in their place elsewhere."""

from __future__ import annotations

from porter.targets import Accelerator

TOOLS = frozenset(
    "nvidia-smi nvcc nsys ncu nvprof dcgmi compute-sanitizer cuda-gdb cuda-memcheck nvitop gpustat nvtop".split()
)

_PROFILERS = frozenset({"nsys", "ncu", "nvprof"})
_MONITORS = frozenset({"nvidia-smi", "dcgmi", "nvitop", "gpustat", "nvtop"})


def instead_of(tool: str, new: Accelerator) -> str:
    """What to do without the tool on a target."""
    if tool in _MONITORS:
        return new.tools.get("monitor", "ask torch.accelerator")
    if tool in _PROFILERS:
        return new.tools.get("profiler", "torch.profiler")
    return "take out what it compiles" if tool == "nvcc" else "leave it out"
