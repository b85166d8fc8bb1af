"""diffusers' WanPipeline on the weights of a pipeline of ours: the oracle of these tests."""

import numpy as np
import torch
from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, WanPipeline, WanTransformer3DModel
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers, convert_wan_vae_to_diffusers
from torch import nn
from transformers import AutoTokenizer


class LinearGrid(FlowMatchEulerDiscreteScheduler):
    """diffusers' scheduler on the reference's grid: evenly spaced before the shift, from `strength` down."""

    strength = 1.0

    def set_timesteps(self, num_inference_steps=None, device=None, **_):
        even = np.linspace(self.strength, 0, num_inference_steps + 1)[:-1]
        super().set_timesteps(sigmas=even, device=device)


class TextEncoder(nn.Module):
    """The shape of transformers' encoder around ours, so that the same text embeddings go into both pipelines."""

    dtype, device = torch.float32, torch.device("cpu")

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, ids, mask):
        return type("Output", (), {"last_hidden_state": self.encoder(ids, mask)})


def transformer(dit):
    """diffusers' DiT with the weights of one of ours."""
    state_dict = convert_wan_transformer_to_diffusers({key: value.clone() for key, value in dit.state_dict().items()})
    sizes = type(dit).kwargs_from_shapes({key: tuple(value.shape) for key, value in dit.state_dict().items()})
    theirs = WanTransformer3DModel(
        num_attention_heads=sizes["num_heads"],
        attention_head_dim=sizes["dim"] // sizes["num_heads"],
        text_dim=sizes["text_dim"],
        ffn_dim=sizes["ffn_dim"],
        num_layers=sizes["num_layers"],
    )
    theirs.load_state_dict(state_dict)
    return theirs.eval()


def autoencoder(vae):
    """diffusers' VAE with the weights of ours."""
    state_dict = convert_wan_vae_to_diffusers({key: value.clone() for key, value in vae.state_dict().items()})
    theirs = AutoencoderKLWan(base_dim=vae.state_dict()["encoder.conv1.weight"].shape[0])
    theirs.load_state_dict(state_dict)
    return theirs.eval()


def normalised_latents(theirs, video):
    """What diffusers' VAE makes of a video (1, 3, F, H, W), by the mean and std of its own configuration."""
    mean, std = (
        torch.tensor(values).view(1, -1, 1, 1, 1) for values in (theirs.config.latents_mean, theirs.config.latents_std)
    )
    return (theirs.encode(video).latent_dist.mode() - mean) / std


def pipeline(ours, tokenizer_folder, *, shift=5.0, strength=1.0, boundary=None):
    """A WanPipeline with the weights of `ours`, which stay where they are."""
    scheduler = LinearGrid(shift=shift)
    scheduler.strength = strength
    theirs = WanPipeline(
        tokenizer=AutoTokenizer.from_pretrained(tokenizer_folder),
        text_encoder=TextEncoder(ours.text_encoder),
        vae=autoencoder(ours.vae),
        scheduler=scheduler,
        transformer=transformer(ours.dit),
        transformer_2=None if ours.dit2 is None else transformer(ours.dit2),
        boundary_ratio=boundary,
    )
    theirs.set_progress_bar_config(disable=True)
    return theirs
