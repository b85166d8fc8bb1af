"""diffusers' Z-Image pipeline on the weights of a pipeline of ours: the oracle of these tests."""

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
from safetensors.torch import load_file
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3Model

from diffsynth.models.flux_vae import SCALE, SHIFT


def pipeline(ours, folder):
    """diffusers' pipeline with the weights of `ours`, whose files are in the folder, and the published scheduler's
    configuration."""
    sizes = type(ours.dit).kwargs_from_shapes({key: tuple(value.shape) for key, value in ours.dit.state_dict().items()})
    dit = ZImageTransformer2DModel(
        n_layers=sizes["num_layers"],
        n_refiner_layers=sizes["num_refiner_layers"],
        n_heads=sizes["num_heads"],
        n_kv_heads=sizes["num_heads"],
        dim=sizes["num_heads"] * sizes["head_dim"],
        cap_feat_dim=sizes["text_dim"],
    )
    dit.load_state_dict(ours.dit.state_dict())
    width = ours.vae.state_dict()["encoder.conv_in.weight"].shape[0]
    vae = AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[width * multiple for multiple in (1, 2, 4, 4)],
        layers_per_block=2,
        latent_channels=16,
        norm_num_groups=width,  # of these few channels each is a group of its own at first
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=SCALE,
        shift_factor=SHIFT,
    )
    for module in vae.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.num_groups = min(32, module.num_channels)
    vae.load_state_dict(ours.vae.state_dict())
    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=3.0, use_dynamic_shifting=False)
    tokenizer = Qwen2Tokenizer.from_pretrained(folder / "tokenizer")
    # Of Qwen3's own template, what a single turn of the user comes to.
    tokenizer.chat_template = (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    found = ZImagePipeline(scheduler, vae.eval(), whole_text_encoder(folder), tokenizer, dit.eval())
    found.set_progress_bar_config(disable=True)
    return found


def whole_text_encoder(folder):
    """transformers' own, with the last layer that ours does without."""
    published = {}
    for path in (folder / "text_encoder").glob("*.safetensors"):
        published.update(load_file(path))
    dim = published["model.embed_tokens.weight"].shape[1]
    config = Qwen3Config(
        vocab_size=published["model.embed_tokens.weight"].shape[0],
        hidden_size=dim,
        intermediate_size=2 * dim,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=128,
        rope_theta=1_000_000.0,
        rms_norm_eps=1e-6,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = Qwen3Model(config).eval().requires_grad_(False)
    model.load_state_dict({key.removeprefix("model."): value.float() for key, value in published.items()})
    return model
