"""The Qwen-Image VAE: Wan's network on single frames, under the names that diffusers gave its parameters."""

from __future__ import annotations

from collections.abc import Mapping

from diffsynth.models.wan_video_vae import COLOURS, WIDTHS, WanVideoVAE

# What a layer is called within a block: ours on the left, the published file's on the right.
_LAYERS = {
    "residual.0": "norm1",
    "residual.2": "conv1",
    "residual.3": "norm2",
    "residual.6": "conv2",
    "shortcut": "conv_shortcut",
}
_TOP = {
    "conv1": "quant_conv",
    "conv2": "post_quant_conv",
    **{f"{side}.conv1": f"{side}.conv_in" for side in ("encoder", "decoder")},
    **{f"{side}.head.0": f"{side}.norm_out" for side in ("encoder", "decoder")},
    **{f"{side}.head.2": f"{side}.conv_out" for side in ("encoder", "decoder")},
}
_MIDDLE = {"0": "resnets.0", "1": "attentions.0", "2": "resnets.1"}
_RES_BLOCKS = 2  # of a level of the encoder; the decoder has one more, and then its doubling
_UP = [*(f"resnets.{number}" for number in range(_RES_BLOCKS + 1)), "upsamplers.0"]
# Where a block is.
_BLOCKS = {
    **{
        f"{side}.middle.{place}": f"{side}.mid_block.{_MIDDLE[place]}"
        for side in ("encoder", "decoder")
        for place in _MIDDLE
    },
    **{
        f"encoder.downsamples.{place}": f"encoder.down_blocks.{place}"
        for place in range(len(WIDTHS) * (_RES_BLOCKS + 1) - 1)
    },
    # The decoder's are numbered by level, and within it.
    **{
        f"decoder.upsamples.{level * len(_UP) + number}": f"decoder.up_blocks.{level}.{name}"
        for level in range(len(WIDTHS))
        for number, name in enumerate(_UP)
    },
}


class QwenImageVAE(WanVideoVAE):
    """Encodes and decodes pictures: videos (B, image_channels, 1, H, W) of one frame, as `WanVideoVAE` takes them. Of
    Qwen-Image-Layered they have 4 channels, the last of them how opaque it is."""

    telling = ("encoder.down_blocks.0.norm1.gamma", "decoder.up_blocks.0.resnets.0.norm1.gamma", "quant_conv.weight")

    def __init__(self, dim: int = 96, z_dim: int = 16, image_channels: int = COLOURS) -> None:
        super().__init__(dim, z_dim, _RES_BLOCKS, image_channels)

    @staticmethod
    def kwargs_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        """The arguments that make a model of these tensors' shapes."""
        dim, image_channels = shapes["encoder.conv_in.weight"][:2]
        return {"dim": dim, "z_dim": shapes["post_quant_conv.weight"][0], "image_channels": image_channels}

    @staticmethod
    def file_key(model_key: str) -> str:
        """The key in the published file of this module's parameter `model_key`."""
        name, _, parameter = model_key.rpartition(".")
        if name in _TOP:
            return f"{_TOP[name]}.{parameter}"
        parts = name.split(".")
        block, layer = _BLOCKS[".".join(parts[:3])], ".".join(parts[3:])
        return f"{block}.{_LAYERS.get(layer, layer)}.{parameter}"
