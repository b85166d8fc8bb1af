"""What pipelines are published as, where their classes' own defaults say otherwise: which ids, parts and settings.

Sizes follow from `script_trial.small.sizes`; here stand the kinds of blocks, the channels of latents, the settings of
schedulers, and widths that are the sum of several.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from script_trial.small.sizes import CHANNELS, WIDTH

Given = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Published:
    """A model under an id.

    Attributes:
        pipeline: the class that its ``model_index.json`` names.
        parts: by component, arguments that are not the class's defaults.
        also: optional components that it has.
        without: components that others of its class have.
        settings: arguments of the pipeline that are no components.
    """

    pipeline: str
    parts: Given = field(default_factory=dict)
    also: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()


#: Tokens of a text, at most, where a pipeline lets its caller choose.
TEXT = 64

_FIRST, _OTHERS = CHANNELS
_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
_VAE = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (_FIRST, _OTHERS, _OTHERS, _OTHERS),
}
_VAE_16 = {**_VAE, "latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False}
_VAE_FLUX = {**_VAE_16, "scaling_factor": 0.3611, "shift_factor": 0.1159}
_VAE_SD3 = {**_VAE_16, "scaling_factor": 1.5305, "shift_factor": 0.0609}
_TIME_WIDTH = 8
_UNET_XL = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (_FIRST, _OTHERS, _OTHERS),
    "transformer_layers_per_block": (1, 1, 2),
    "attention_head_dim": (2, 4, 4),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": _TIME_WIDTH,
    "cross_attention_dim": 2 * WIDTH,  # both text encoders' states, side by side
    "projection_class_embeddings_input_dim": 6 * _TIME_WIDTH + WIDTH,
}
_UNIPC_FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}
_WAN_22_VAE = {
    "base_dim": 8,
    "decoder_base_dim": 8,
    "z_dim": 48,
    "is_residual": True,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "scale_factor_spatial": 16,
    "latents_mean": [0.0] * 48,
    "latents_std": [1.0] * 48,
}
_WAN_SEES = {"in_channels": 36, "image_dim": WIDTH, "added_kv_proj_dim": WIDTH}
_FLOW_SHIFTED = {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15, "shift": 3.0}

# Of classes of networks, in whatever pipeline: what makes the class's own defaults a network that there is.
NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "AutoencoderKL": _VAE,
    "UNet2DConditionModel": {"sample_size": 8},
    "UNet2DModel": {"sample_size": 32},
    "WanVACETransformer3DModel": {"vace_layers": [0, 1]},
    "CogVideoXTransformer3DModel": {"max_text_seq_length": TEXT},
    "AutoencoderKLTemporalDecoder": {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "block_out_channels": (_FIRST, _OTHERS, _OTHERS, _OTHERS),
    },
    "UNetSpatioTemporalConditionModel": {
        "sample_size": 8,
        "num_attention_heads": (2, 2, 2, 2),
        "projection_class_embeddings_input_dim": 3 * _TIME_WIDTH,
        "addition_time_embed_dim": _TIME_WIDTH,
        "block_out_channels": (_FIRST, _OTHERS, _OTHERS, _OTHERS),
    },
    "HunyuanDiT2DModel": {"text_len": 77, "text_len_t5": 256, "cross_attention_dim": WIDTH},
    "StableAudioProjectionModel": {
        "text_encoder_dim": WIDTH,
        "conditioning_dim": WIDTH,
        "min_value": 0,
        "max_value": 512,
    },
    "ControlNetModel": {"conditioning_embedding_out_channels": (16, 32, 32, 32)},
    "MotionAdapter": {"motion_norm_num_groups": 8},
}

# Of classes of pipelines, by the beginning of their name: the longest that fits.
_CLASSES: Mapping[str, Published] = {
    "StableDiffusion": Published("StableDiffusionPipeline", {"scheduler": {**_BETAS, "skip_prk_steps": True}}),
    "StableDiffusionXL": Published(
        "StableDiffusionXLPipeline",
        {
            "scheduler": {**_BETAS, "timestep_spacing": "leading"},
            "unet": _UNET_XL,
            "vae": {"scaling_factor": 0.13025},
        },
        ("tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2"),
    ),
    "StableDiffusion3": Published(
        "StableDiffusion3Pipeline",
        {
            "scheduler": {"shift": 3.0},
            "vae": _VAE_SD3,
            # T5's states are as wide as both CLIPs' side by side, at least.
            "text_encoder_3": {"d_model": 2 * WIDTH},
            "transformer": {"joint_attention_dim": 2 * WIDTH, "pooled_projection_dim": 2 * WIDTH},
        },
    ),
    # The pipeline makes its picture 224 pixels wide, whatever the encoder says.
    "StableVideoDiffusion": Published("StableVideoDiffusionPipeline", {"image_encoder": {"image_size": 224}}),
    "LatentConsistencyModel": Published(
        "LatentConsistencyModelPipeline", {"scheduler": _BETAS, "unet": {"time_cond_proj_dim": WIDTH}}
    ),
    "AnimateDiff": Published("AnimateDiffPipeline", {"scheduler": _BETAS}, ("motion_adapter",)),
    "Flux": Published("FluxPipeline", {"scheduler": _FLOW_SHIFTED, "vae": _VAE_FLUX}),
    "Flux2": Published(
        "Flux2Pipeline", {"scheduler": _FLOW_SHIFTED, "transformer": {"joint_attention_dim": 3 * WIDTH}}
    ),
    "Chroma": Published("ChromaPipeline", {"scheduler": {"use_beta_sigmas": False}, "vae": _VAE_FLUX}),
    "Wan": Published("WanPipeline", {"scheduler": _UNIPC_FLOW}, ("transformer",)),
    "WanImageToVideo": Published(
        "WanImageToVideoPipeline",
        {"scheduler": _UNIPC_FLOW, "transformer": _WAN_SEES},
        ("transformer", "image_encoder", "image_processor"),
    ),
    "QwenImage": Published(
        "QwenImagePipeline",
        {"scheduler": {**_FLOW_SHIFTED, "max_shift": 0.9, "shift": 1.0, "shift_terminal": 0.02}},
    ),
    "ZImage": Published("ZImagePipeline", {"scheduler": {"shift": 3.0}, "vae": _VAE_FLUX}),
    "LTX": Published("LTXPipeline", {"scheduler": {**_FLOW_SHIFTED, "max_shift": 2.05, "shift_terminal": 0.1}}),
    "Lumina2": Published("Lumina2Pipeline", {"vae": _VAE_FLUX, "scheduler": {"shift": 6.0}}),
    "PixArt": Published(
        "PixArtSigmaPipeline",
        {"transformer": {"caption_channels": WIDTH, "sample_size": 8}, "scheduler": _BETAS},
        ("tokenizer", "text_encoder"),
    ),
    "CogVideoX": Published("CogVideoXPipeline", {"scheduler": {"prediction_type": "v_prediction"}}),
    "CogView4": Published("CogView4Pipeline", {"vae": _VAE_FLUX, "scheduler": _FLOW_SHIFTED}),
    "HunyuanVideo": Published("HunyuanVideoPipeline", {"scheduler": {"shift": 7.0}}),
    "AuraFlow": Published("AuraFlowPipeline", {"transformer": {"joint_attention_dim": WIDTH}}),
}

# Which scheduler where the class only says that it takes any of a kind.
_SCHEDULERS = {
    "StableDiffusionXL": "EulerDiscreteScheduler",
    "Wan": "UniPCMultistepScheduler",
    "PixArt": "DPMSolverMultistepScheduler",
    "StableDiffusion": "PNDMScheduler",
    "StableDiffusion3": "FlowMatchEulerDiscreteScheduler",
    "Kolors": "EulerDiscreteScheduler",
}

_WAN_22_SEES = {"in_channels": 36, "image_dim": None, "added_kv_proj_dim": None}
_LAION = {"text_encoder": {"hidden_act": "gelu"}}

# By id: the first that is found in it, without regard to case.
_IDS: tuple[tuple[str, Published], ...] = (
    (r"wan2\.2-t2v-a14b", Published("WanPipeline", {}, ("transformer_2",), {"boundary_ratio": 0.875})),
    (
        r"wan2\.2-i2v-a14b",
        Published(
            "WanImageToVideoPipeline",
            {"transformer": _WAN_22_SEES, "transformer_2": _WAN_22_SEES},
            ("transformer_2",),
            {"boundary_ratio": 0.9},
            ("image_encoder", "image_processor"),
        ),
    ),
    (
        r"wan2\.2-ti2v-5b",
        Published(
            "WanPipeline",
            {"vae": _WAN_22_VAE, "transformer": {"in_channels": 48, "out_channels": 48}},
            (),
            {"expand_timesteps": True},
        ),
    ),
    (r"wan2\.1-vace", Published("WanVACEPipeline")),
    (r"wan2\.1-(i2v|flf2v)", Published("WanImageToVideoPipeline")),
    (r"wan2\.1-t2v|/wan2", Published("WanPipeline")),
    (r"qwen-image-edit-(2509|2511|plus)", Published("QwenImageEditPlusPipeline")),
    (r"qwen-image-edit", Published("QwenImageEditPipeline")),
    (r"qwen-image", Published("QwenImagePipeline")),
    (r"z-image", Published("ZImagePipeline")),
    (r"flux\.2-klein", Published("Flux2KleinPipeline")),
    (r"flux\.2", Published("Flux2Pipeline")),
    (r"flux\.1-kontext", Published("FluxKontextPipeline", {"transformer": {"guidance_embeds": True}})),
    (
        r"flux\.1-fill",
        Published(
            "FluxFillPipeline", {"transformer": {"guidance_embeds": True, "in_channels": 384, "out_channels": 64}}
        ),
    ),
    (
        r"flux\.1-(canny|depth)",
        Published(
            "FluxControlPipeline", {"transformer": {"guidance_embeds": True, "in_channels": 128, "out_channels": 64}}
        ),
    ),
    (r"flux\.1-schnell", Published("FluxPipeline", {"scheduler": {"use_dynamic_shifting": False, "shift": 1.0}})),
    (r"flux", Published("FluxPipeline", {"transformer": {"guidance_embeds": True}})),
    (r"chroma", Published("ChromaPipeline")),
    (r"stable-diffusion-3|sd3", Published("StableDiffusion3Pipeline")),
    (
        r"xl-refiner",
        Published(
            "StableDiffusionXLImg2ImgPipeline",
            {"unet": {"cross_attention_dim": WIDTH, "projection_class_embeddings_input_dim": 5 * _TIME_WIDTH + WIDTH}},
            (),
            {"requires_aesthetics_score": True},
            ("tokenizer", "text_encoder"),
        ),
    ),
    (r"xl-.*inpaint", Published("StableDiffusionXLInpaintPipeline", {"unet": {"in_channels": 9}})),
    (
        r"stable-diffusion-xl|sdxl|xl-base|playground-v2|animagine|ssd-1b|juggernaut-?xl|dreamshaper-xl|pony",
        Published("StableDiffusionXLPipeline"),
    ),
    (r"stable-video-diffusion", Published("StableVideoDiffusionPipeline")),
    (r"lcm_dreamshaper", Published("LatentConsistencyModelPipeline")),
    (r"instruct-pix2pix", Published("StableDiffusionInstructPix2PixPipeline", {"unet": {"in_channels": 8}})),
    (r"inpaint", Published("StableDiffusionInpaintPipeline", {"unet": {"in_channels": 9}})),
    (
        r"stable-diffusion-2|sd-turbo",
        Published("StableDiffusionPipeline", {**_LAION, "unet": {"use_linear_projection": True}}),
    ),
    (
        r"stable-diffusion|dreamshaper|dreamlike|realistic[-_]vision|openjourney|anything-v|epicrealism|/sd-|absolute",
        Published("StableDiffusionPipeline", {}, ("safety_checker", "feature_extractor")),
    ),
    (r"ltx-video", Published("LTXPipeline")),
    (r"lumina-image-2", Published("Lumina2Pipeline")),
    (r"pixart-sigma", Published("PixArtSigmaPipeline")),
    (r"pixart", Published("PixArtAlphaPipeline", {"transformer": {"use_additional_conditions": False}})),
    (r"sana", Published("SanaPipeline")),
    (r"cogvideox.*i2v", Published("CogVideoXImageToVideoPipeline", {"transformer": {"in_channels": 32}})),
    (r"cogvideox", Published("CogVideoXPipeline")),
    (r"cogview4", Published("CogView4Pipeline")),
    (r"hunyuanvideo", Published("HunyuanVideoPipeline")),
    (r"mochi", Published("MochiPipeline")),
    (r"auraflow", Published("AuraFlowPipeline")),
    (r"ddpm-", Published("DDPMPipeline")),
)


def published(model_id: str) -> Published | None:
    """What is published under an id; None where it is no pipeline that is known."""
    return next((one for pattern, one in _IDS if re.search(pattern, model_id, re.IGNORECASE)), None)


def of_class(pipeline: str, known: Published | None = None) -> Published:
    """What a pipeline of this class is made of: what its class has, and what is known of the id beside."""
    own = _longest(_CLASSES, pipeline) or Published(pipeline)
    if known is None:
        return own
    of_its_class = _longest(_CLASSES, known.pipeline)
    base = own if of_its_class is None or _is_wider(own, of_its_class) else of_its_class
    names = {*base.parts, *known.parts}
    parts = {name: {**base.parts.get(name, {}), **known.parts.get(name, {})} for name in names}
    also = tuple(name for name in (*base.also, *known.also) if name not in known.without)
    return Published(pipeline, parts, also, known.settings, known.without)


def scheduler_of(pipeline: str) -> Any:
    """The class of scheduler that pipelines of this class come with; None where its signature tells."""
    return _longest(_SCHEDULERS, pipeline)


def _is_wider(one: Published, other: Published) -> bool:
    """Whether a class's own record says more than that of the id's class, of which it may be a variant."""
    return len(one.also) > len(other.also)


def _longest(table: Mapping[str, Any], name: str) -> Any:
    fitting = [beginning for beginning in table if name.startswith(beginning)]
    return table[max(fitting, key=len)] if fitting else None
