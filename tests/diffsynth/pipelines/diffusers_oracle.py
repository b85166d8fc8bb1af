"""diffusers' Wan pipelines on the weights of a pipeline of ours: the oracle of these tests."""

import numpy as np
import torch
from diffusers import (
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    WanPipeline,
    WanTransformer3DModel,
    WanVACEPipeline,
    WanVACETransformer3DModel,
)
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers, convert_wan_vae_to_diffusers
from torch import nn
from transformers import AutoTokenizer

from diffsynth.models.wan_video_vae38 import WanVideoVAE38
from tests.diffsynth.models.vae38_oracle import peer_of


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


def transformer(dit, vace=None):
    """diffusers' DiT with the weights of one of ours, and of the VACE that guides it."""
    networks = [dit] if vace is None else [dit, vace]
    weights = {key: value.clone() for network in networks for key, value in network.state_dict().items()}
    sizes = type(dit).kwargs_from_shapes({key: tuple(value.shape) for key, value in dit.state_dict().items()})
    named = convert_wan_transformer_to_diffusers(weights)
    of_both = {
        "num_attention_heads": sizes["num_heads"],
        "attention_head_dim": sizes["dim"] // sizes["num_heads"],
        "text_dim": sizes["text_dim"],
        "ffn_dim": sizes["ffn_dim"],
        "num_layers": sizes["num_layers"],
    }
    if vace is not None:
        hints = list(range(len(vace.vace_blocks)))
        theirs = WanVACETransformer3DModel(vace_layers=hints, vace_in_channels=96, **of_both)
    else:
        if sizes["picture_positions"]:
            named["condition_embedder.image_embedder.pos_embed"] = named.pop("img_emb.emb_pos")
        theirs = WanTransformer3DModel(
            in_channels=sizes["in_dim"],
            out_channels=sizes["out_dim"],
            image_dim=sizes["picture_dim"] or None,
            added_kv_proj_dim=sizes["dim"] if sizes["picture_dim"] else None,
            pos_embed_seq_len=sizes["picture_positions"] or None,
            **of_both,
        )
    theirs.load_state_dict(named)
    return theirs.eval()


def autoencoder(vae):
    """diffusers' VAE with the weights of ours."""
    if isinstance(vae, WanVideoVAE38):
        return peer_of(vae)
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


def pipeline(ours, tokenizer_folder, kind=WanPipeline, *, shift=5.0, strength=1.0, boundary=None, **options):
    """A pipeline of diffusers with the weights of `ours`, which stay where they are."""
    scheduler = LinearGrid(shift=shift)
    scheduler.strength = strength
    guides = (ours.vace, ours.vace2) if kind is WanVACEPipeline else (None, None)
    theirs = kind(
        tokenizer=AutoTokenizer.from_pretrained(tokenizer_folder),
        text_encoder=TextEncoder(ours.text_encoder),
        vae=autoencoder(ours.vae),
        scheduler=scheduler,
        transformer=transformer(ours.dit, guides[0]),
        transformer_2=None if ours.dit2 is None else transformer(ours.dit2, guides[1]),
        boundary_ratio=boundary,
        **options,
    )
    theirs.set_progress_bar_config(disable=True)
    return theirs
