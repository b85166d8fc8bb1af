"""The command-line tools of NVIDIA's driver and toolkit, and what stands in their place elsewhere."""

from __future__ import annotations

TOOLS = frozenset(
    "nvidia-smi nvcc nsys ncu nvprof dcgmi compute-sanitizer cuda-gdb cuda-memcheck nvitop gpustat nvtop".split()
)

_SMI = {"npu": "npu-smi info", "xpu": "xpu-smi", "musa": "mthreads-gmi"}
_PROFILERS = frozenset({"nsys", "ncu", "nvprof"})
_MONITORS = frozenset({"nvidia-smi", "dcgmi", "nvitop", "gpustat", "nvtop"})


def instead_of(tool: str, target: str) -> str:
    """What to do without the tool on a target."""
    if tool in _MONITORS:
        return _SMI.get(target, "ask torch.accelerator")
    if tool in _PROFILERS:
        return "msprof" if target == "npu" else "torch.profiler"
    return "take out what it compiles" if tool == "nvcc" else "leave it out"
