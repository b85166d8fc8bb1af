"""Diffusion pipelines for NVIDIA, AMD, Ascend and CPU. A placeholder: the pipelines are not written yet."""
