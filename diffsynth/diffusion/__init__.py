"""What diffusion pipelines share and no particular model knows: schedules, guidance, caches, LoRA, model loading."""
