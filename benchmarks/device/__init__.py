"""One table of a device: the low-VRAM script, DiT calls and the VAE, beside their peers in the same run."""
