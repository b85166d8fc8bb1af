"""Port PyTorch scripts written for CUDA to other accelerators."""

__version__ = "0.1.0"
