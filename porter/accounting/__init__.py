"""Where every line that names CUDA, NCCL or NVIDIA went: changed, found, or passed over for a reason that has a name."""
