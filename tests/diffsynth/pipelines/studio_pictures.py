"""What DiffSynth-Studio makes of the cases in a file: ``studio_pictures.py CASES FOUND``, where `diffsynth` is its own.

Its networks at the sizes of the weights in the file, on its own pipeline. The text encoder is the one thing that does
not run: prompts are looked up in the file. And its feed-forward networks have the GELU that the model was published
with, as diffusers has it; its own differs by up to 1e-2.
"""

import sys

import torch
from diffsynth.models.general_modules import AdaLayerNorm, RMSNorm, TimestepEmbeddings
from torch import nn
from torch.nn import functional

from diffsynth.models import qwen_image_dit as networks
from diffsynth.models.qwen_image_controlnet import QwenImageBlockWiseControlNet
from diffsynth.models.qwen_image_vae import QwenImageVAE
from diffsynth.pipelines import qwen_image as pipelines


def dit(weights):
    """Its DiT, whose sizes are fixed but for the number of blocks, put together at those of the weights."""
    dim, text_dim = weights["txt_in.weight"].shape
    layered = "time_text_embed.addition_t_embedding.weight" in weights
    network = networks.QwenImageDiT(0, use_layer3d_rope=layered)
    network.time_text_embed = TimestepEmbeddings(
        256, dim, diffusers_compatible_format=True, scale=1000, use_additional_t_cond=layered
    )
    network.txt_norm, network.txt_in = RMSNorm(text_dim, eps=1e-6), nn.Linear(text_dim, dim)
    network.img_in, network.proj_out = nn.Linear(64, dim), nn.Linear(dim, 64)
    network.norm_out = AdaLayerNorm(dim, single=True)
    blocks = 1 + max(int(key.split(".")[1]) for key in weights if key.startswith("transformer_blocks."))
    network.transformer_blocks = nn.ModuleList(
        networks.QwenImageTransformerBlock(dim, dim // 128, 128) for _ in range(blocks)
    )
    network.load_state_dict(weights)
    return network


def vae(weights):
    width, colours = weights["encoder.conv_in.weight"].shape[:2]
    network = QwenImageVAE(base_dim=width, image_channels=colours)
    network.load_state_dict(weights)
    return network


def controlnet(weights):
    dim, features = weights["img_in.weight"].shape
    blocks = 1 + max(int(key.split(".")[1]) for key in weights if key.startswith("controlnet_blocks."))
    network = QwenImageBlockWiseControlNet(blocks, additional_in_dim=features - 64, dim=dim)
    network.load_state_dict(weights)
    return network


def pipeline(model, texts):
    def looked_up(prompt):
        features = texts[prompt]
        return {"prompt_emb": features, "prompt_emb_mask": torch.ones(features.shape[:2], dtype=torch.long)}

    networks.ApproximateGELU.forward = lambda self, tokens: functional.gelu(self.proj(tokens), approximate="tanh")
    pipelines.QwenImageUnit_PromptEmbedder.process = lambda self, pipe, prompt, edit_image=None: looked_up(prompt)
    pipelines.QwenImageUnit_EntityControl.get_prompt_emb = lambda self, pipe, prompt: looked_up(prompt)
    pipe = pipelines.QwenImagePipeline(device="cpu", torch_dtype=torch.float32)
    pipe.dit, pipe.vae = dit(model["dit"]).eval(), vae(model["vae"]).eval()
    pipe.blockwise_controlnet = pipelines.QwenImageBlockwiseMultiControlNet([*map(controlnet, model["controlnets"])])
    return pipe


def latents(pipe, call):
    """Those that it decodes in the end."""
    seen, decode = [], type(pipe.vae).decode
    pipe.vae.decode = lambda given, **options: seen.append(given) or decode(pipe.vae, given, **options)
    controls = [pipelines.ControlNetInput(**given) for given in call.pop("blockwise_controlnet_inputs", [])]
    pipe(blockwise_controlnet_inputs=controls or None, progress_bar_cmd=iter, **call)
    return seen[0]


def main(cases, found):
    given = torch.load(cases, weights_only=False)
    pipes = {name: pipeline(model, given["texts"]) for name, model in given["models"].items()}
    made = {name: latents(pipes[model], call) for name, (model, call) in given["calls"].items()}
    torch.save(made, found)


if __name__ == "__main__":
    main(*sys.argv[1:])
