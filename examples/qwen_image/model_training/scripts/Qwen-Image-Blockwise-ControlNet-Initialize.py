# A blockwise ControlNet of edges, depths and the like that changes nothing yet, to train one from the start.
# Name the file in --model_paths, in the place of a published one, and give a high --learning_rate, such as 1e-3.
from pathlib import Path

import torch
from safetensors.torch import save_file

from diffsynth.models.qwen_image_controlnet import QwenImageBlockWiseControlNet

torch.manual_seed(0)
controlnet = QwenImageBlockWiseControlNet().to(device="cuda", dtype=torch.bfloat16)
controlnet.init_weight()
Path("models").mkdir(exist_ok=True)
save_file(controlnet.state_dict(), "models/blockwise_controlnet.safetensors")
