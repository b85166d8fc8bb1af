"""diffusers' Qwen-Image pipelines on the weights of a pipeline of ours: the oracle of these tests."""

import numpy as np
import torch
from diffusers import (
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
)
from torch import nn
from transformers import (
    BatchFeature,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen2VLImageProcessorPil,
)

from diffsynth.models.qwen_image_text_encoder import QwenImageTextEncoder

PICTURE = "<|image_pad|>"


def language_model(encoder, picture_id):
    """transformers' own model, head and all, configured as the published config.json has it."""
    sizes = QwenImageTextEncoder.kwargs_from_shapes(
        {encoder.file_key(key): tuple(value.shape) for key, value in encoder.state_dict().items()}
    )
    layers = sizes["vision_layers"]
    config = Qwen2_5_VLConfig(
        image_token_id=picture_id,
        text_config={
            "vocab_size": sizes["vocab_size"],
            "hidden_size": sizes["dim"],
            "intermediate_size": sizes["dim_ffn"],
            "num_hidden_layers": sizes["num_layers"],
            "num_attention_heads": sizes["dim"] // 128,
            "num_key_value_heads": sizes["num_kv_heads"],
            "max_position_embeddings": 128000,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1000000.0,
            "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
            "bos_token_id": None,
            "eos_token_id": None,
        },
        vision_config={
            "depth": layers,
            "hidden_size": sizes["vision_dim"],
            "intermediate_size": sizes["vision_dim_ffn"],
            "num_heads": sizes["vision_dim"] // 80,
            "out_hidden_size": sizes["dim"],
            "fullatt_block_indexes": [block for block in (7, 15, 23, 31) if block < layers],
        },
    )
    theirs = Qwen2_5_VLForConditionalGeneration(config).eval().requires_grad_(False)
    theirs.load_state_dict({**encoder.state_dict(), "lm_head.weight": theirs.lm_head.weight})
    return theirs


class TextEncoder(nn.Module):
    """Says which tokens are pictures: from transformers 5 on the model places them by that, and diffusers does not."""

    dtype, device = torch.float32, torch.device("cpu")

    def __init__(self, encoder, picture_id):
        super().__init__()
        self.model = language_model(encoder, picture_id)
        self.picture_id = picture_id

    def forward(self, input_ids, **given):
        return self.model(input_ids, mm_token_type_ids=(input_ids == self.picture_id).int(), **given)


class Processor:
    """transformers' Qwen2_5_VLProcessor without its video part, which needs torchvision."""

    def __init__(self, folder):
        self.tokenizer = Qwen2Tokenizer.from_pretrained(folder)
        self.pictures = Qwen2VLImageProcessorPil.from_pretrained(folder)

    def __call__(self, text, images, padding, return_tensors):
        seen = self.pictures(images, return_tensors=return_tensors)
        for count in (seen["image_grid_thw"].prod(dim=1) // 4).tolist():
            text = [one.replace(PICTURE, "<placed>" * count, 1) for one in text]
        text = [one.replace("<placed>", PICTURE) for one in text]
        return BatchFeature({**self.tokenizer(text, padding=padding, return_tensors=return_tensors), **seen})


def transformer(dit):
    """diffusers' DiT with the weights of ours."""
    sizes = type(dit).kwargs_from_shapes({key: tuple(value.shape) for key, value in dit.state_dict().items()})
    theirs = QwenImageTransformer2DModel(
        num_layers=sizes["num_layers"],
        num_attention_heads=sizes["num_heads"],
        joint_attention_dim=sizes["text_dim"],
        use_layer3d_rope=sizes["layered"],
        use_additional_t_cond=sizes["layered"],
    )
    theirs.load_state_dict(dit.state_dict())
    return theirs.eval()


def autoencoder(vae):
    """diffusers' VAE with the weights of ours."""
    width, colours = vae.state_dict()["encoder.conv1.weight"].shape[:2]
    theirs = AutoencoderKLQwenImage(base_dim=width, input_channels=colours)
    theirs.load_state_dict({vae.file_key(key): value for key, value in vae.state_dict().items()})
    return theirs.eval()


def normalised_latents(vae, picture):
    """What diffusers' VAE makes of a picture (1, 3, H, W), by the mean and std of its own configuration."""
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (vae.config.latents_mean, vae.config.latents_std))
    return (vae.encode(picture.unsqueeze(2)).latent_dist.mode()[:, :, 0] - mean) / std


class Guided(nn.Module):
    """Both branches at once, drawn apart as the reference does; diffusers' pipelines rescale the result."""

    dtype, device = torch.float32, torch.device("cpu")

    def __init__(self, theirs, negative, scale):
        super().__init__()
        self.theirs, self.negative, self.scale = theirs, negative, scale
        self.config, self.cache_context = theirs.config, theirs.cache_context

    def forward(self, encoder_hidden_states, **given):
        positive = self.theirs(encoder_hidden_states=encoder_hidden_states, **given)[0]
        negative = self.theirs(encoder_hidden_states=self.negative, **given)[0]
        return (negative + self.scale * (positive - negative),)


def pipeline(ours, folder, kind=QwenImagePipeline):
    """A pipeline of diffusers with the weights of `ours` and Qwen-Image's published scheduler configuration."""
    scheduler = FlowMatchEulerDiscreteScheduler(
        base_image_seq_len=256,
        base_shift=0.5,
        max_image_seq_len=8192,
        max_shift=0.9,
        shift_terminal=0.02,
        time_shift_type="exponential",
        use_dynamic_shifting=True,
    )
    processor = Processor(folder)
    more = {"processor": processor} if kind is not QwenImagePipeline else {}
    theirs = kind(
        scheduler=scheduler,
        vae=autoencoder(ours.vae),
        text_encoder=TextEncoder(ours.text_encoder, ours.tokenizer.picture_id),
        tokenizer=processor.tokenizer,
        transformer=transformer(ours.dit),
        **more,
    )
    theirs.set_progress_bar_config(disable=True)
    return theirs


@torch.no_grad()
def final_latents(theirs, noise, prompt, negative, *, scale=4.0, start=1.0, steps=4, condition=None, **given):
    """The latents (1, 16, h, w) that diffusers ends with; `condition` is what its encode_prompt sees."""
    seen = {} if condition is None else {"image": condition}
    if scale != 1:
        embeds = theirs.encode_prompt(negative, **seen)[0]
        theirs.transformer = Guided(theirs.transformer, embeds, scale)
    height, width = noise.shape[2] * 8, noise.shape[3] * 8
    packed = theirs(
        prompt=prompt,
        true_cfg_scale=1.0,
        height=height,
        width=width,
        num_inference_steps=steps,
        sigmas=np.linspace(start, 0, steps + 1)[:-1],
        latents=theirs._pack_latents(noise, 1, 16, noise.shape[2], noise.shape[3]),
        output_type="latent",
        **given,
    ).images
    return theirs._unpack_latents(packed, height, width, 8)[:, :, 0]
