"""Rules about C++ and CUDA sources."""
