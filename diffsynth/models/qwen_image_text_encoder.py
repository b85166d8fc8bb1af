"""The Qwen-Image text encoder: Qwen2.5-VL as transformers writes it, under the names of Qwen-Image's own file."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import torch
from torch import Tensor, nn

from diffsynth.core.loader.detection import blocks_below

# What the file does not say, and every published size has.
HEAD_DIM = 128  # of the language model
VISION_HEAD_DIM = 80
_TEXT_THETA, _VISION_THETA = 1_000_000.0, 10_000.0
_MROPE_SECTION = [16, 24, 24]  # pairs of a head that turn with time, height and width
_FULL_ATTENTION_EVERY = 8  # vision blocks; the others attend within windows
_WINDOW = 112  # pixels
_EPS = 1e-6

_FILE_PREFIXES = {"model.visual.": "visual.", "model.language_model.": "model."}


class QwenImageTextEncoder(nn.Module):
    """Token ids, and pictures among them, to features: one vector a token.

    The numbers of the published checkpoint are the defaults. Widths are multiples of the heads': 128 for the language
    model, 80 for the vision tower. Of the file, only the head that would predict the next word is left out.
    """

    def __init__(
        self,
        vocab_size: int = 152064,
        dim: int = 3584,
        dim_ffn: int = 18944,
        num_layers: int = 28,
        num_kv_heads: int = 4,
        vision_dim: int = 1280,
        vision_dim_ffn: int = 3420,
        vision_layers: int = 32,
        patch_size: int = 14,
    ) -> None:
        super().__init__()
        from transformers import Qwen2_5_VLConfig, Qwen2_5_VLModel  # seconds to import: only a run with a prompt pays
        from transformers.modeling_utils import set_zero3_state

        config = Qwen2_5_VLConfig(
            text_config={
                "vocab_size": vocab_size,
                "hidden_size": dim,
                "intermediate_size": dim_ffn,
                "num_hidden_layers": num_layers,
                "num_attention_heads": dim // HEAD_DIM,
                "num_key_value_heads": num_kv_heads,
                "rms_norm_eps": _EPS,
                "rope_theta": _TEXT_THETA,
                "rope_scaling": {"type": "mrope", "mrope_section": _MROPE_SECTION},
                "bos_token_id": None,  # transformers would look for these in the vocabulary
                "eos_token_id": None,
            },
            vision_config={
                "hidden_size": vision_dim,
                "intermediate_size": vision_dim_ffn,
                "depth": vision_layers,
                "num_heads": vision_dim // VISION_HEAD_DIM,
                "patch_size": patch_size,
                "window_size": _WINDOW,
                "fullatt_block_indexes": list(range(_FULL_ATTENTION_EVERY - 1, vision_layers, _FULL_ATTENTION_EVERY)),
                "out_hidden_size": dim,
            },
        )
        # Or ZeRO-3, where a training is by DeepSpeed, would cut its parts up and fill them before weights are read.
        with set_zero3_state():
            self.model = Qwen2_5_VLModel(config)
        self._frequencies = [
            (self.model.language_model.rotary_emb, _frequencies(HEAD_DIM, _TEXT_THETA)),
            (self.model.visual.rotary_pos_emb, _frequencies(VISION_HEAD_DIM // 2, _VISION_THETA)),
        ]
        for rotary, frequencies in self._frequencies:
            rotary._buffers.clear()  # a model that is built on the meta device would have them to fill
            rotary.inv_freq = frequencies

    def forward(
        self,
        ids: Tensor,
        positions: Tensor,
        is_picture: Tensor | None = None,
        pixels: Tensor | None = None,
        grids: Tensor | None = None,
    ) -> Tensor:
        """Features of shape (1, length, dim) in the weights' type.

        Args:
            ids: one prompt's tokens, (1, length), all of them its own.
            positions: of each token in time, height and width, (3, 1, length).
            is_picture: which tokens stand for a piece of a picture, (1, length) bool; None without pictures.
            pixels: the pictures' patches, (patches, channels * 2 * patch_size ** 2).
            grids: each picture's patches in time, height and width, (pictures, 3).
        """
        for rotary, frequencies in self._frequencies:
            rotary.inv_freq = frequencies.to(ids.device)
        features = self.model.language_model.embed_tokens(ids)
        if is_picture is not None:
            seen = self.model.visual(pixels, grid_thw=grids)
            seen = getattr(seen, "pooler_output", seen)  # a bare tensor before transformers 5
            features = features.masked_scatter(is_picture.unsqueeze(-1), seen.to(features.dtype))
        made: Tensor = self.model.language_model(
            inputs_embeds=features, position_ids=positions, use_cache=False
        ).last_hidden_state
        return made

    @staticmethod
    def recognises(keys: AbstractSet[str]) -> bool:
        """Whether a file with these keys holds this model."""
        return {
            "visual.patch_embed.proj.weight",
            "visual.merger.mlp.0.weight",
            "model.embed_tokens.weight",
            "model.layers.0.self_attn.q_proj.bias",
        } <= keys

    @staticmethod
    def kwargs_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        """The constructor's arguments for a file whose keys have these shapes.

        Raises:
            ValueError: a width is no multiple of the width of a head in every published size.
        """
        vocab_size, dim = shapes["model.embed_tokens.weight"]
        vision_dim, _, _, patch_size, _ = shapes["visual.patch_embed.proj.weight"]
        for key, width, head in (
            ("model.embed_tokens.weight", dim, HEAD_DIM),
            ("visual.patch_embed.proj.weight", vision_dim, VISION_HEAD_DIM),
        ):
            if width % head:
                raise ValueError(f"{key} has width {width}, expected a multiple of {head}")
        return {
            "vocab_size": vocab_size,
            "dim": dim,
            "dim_ffn": shapes["model.layers.0.mlp.gate_proj.weight"][0],
            "num_layers": blocks_below(shapes, "model.layers."),
            "num_kv_heads": shapes["model.layers.0.self_attn.k_proj.weight"][0] // HEAD_DIM,
            "vision_dim": vision_dim,
            "vision_dim_ffn": shapes["visual.blocks.0.mlp.gate_proj.weight"][0],
            "vision_layers": blocks_below(shapes, "visual.blocks."),
            "patch_size": patch_size,
        }

    @staticmethod
    def file_key(model_key: str) -> str:
        """The key in the published file of this module's parameter `model_key`.

        Raises KeyError for a key that this module does not have.
        """
        for prefix, published in _FILE_PREFIXES.items():
            if model_key.startswith(prefix):
                return published + model_key.removeprefix(prefix)
        raise KeyError(model_key)


def _frequencies(dim: int, theta: float) -> Tensor:
    """Of the pairs of a rotary embedding over `dim` channels; float32, as the model was trained with."""
    exponents = torch.arange(0, dim, 2, dtype=torch.float32, device="cpu") / dim
    return 1.0 / theta**exponents
