"""Where each line that names CUDA, NCCL or NVIDIA went: changed, found, or passed over for a reason with a name."""
