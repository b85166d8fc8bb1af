"""The Z-Image text encoder: Qwen3 as transformers writes it, without its last layer, whose input the DiT reads; and
what it is given for a prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from torch import Tensor, nn

from diffsynth.core.caller import warn_of_cut_prompt
from diffsynth.core.fused import RMSNorm
from diffsynth.core.loader.detection import blocks_below
from diffsynth.models.layers import HostFrequencies
from diffsynth.models.qwen_image_text_encoder import QwenImageTokenizer

# What the file does not say, and every published size has.
HEAD_DIM = 128
_THETA, _EPS = 1_000_000.0, 1e-6

_NORMS = ("input_layernorm", "post_attention_layernorm")
_NORMS_OF_HEADS = ("q_norm", "k_norm")


class ZImageTextEncoder(nn.Module):
    """Token ids to features: what the last layer of Qwen3 would be given, one vector a token.

    The numbers of the published checkpoint (Qwen3-4B) are the defaults.

    Args:
        vocab_size: of the tokenizer.
        dim: width of the features.
        dim_ffn: of the feed-forward networks.
        num_layers: that are run, one less than published.
        num_heads, num_kv_heads: of 128 channels each.
    """

    def __init__(
        self,
        vocab_size: int = 151936,
        dim: int = 2560,
        dim_ffn: int = 9728,
        num_layers: int = 35,
        num_heads: int = 32,
        num_kv_heads: int = 8,
    ) -> None:
        super().__init__()
        from transformers import Qwen3Config, Qwen3Model  # seconds to import: only a run with a prompt pays

        config = Qwen3Config(
            vocab_size=vocab_size,
            hidden_size=dim,
            intermediate_size=dim_ffn,
            num_hidden_layers=num_layers,
            num_attention_heads=num_heads,
            num_key_value_heads=num_kv_heads,
            head_dim=HEAD_DIM,
            rms_norm_eps=_EPS,
            rope_theta=_THETA,
            bos_token_id=None,  # transformers would look for these in the vocabulary
            eos_token_id=None,
        )
        self.model = Qwen3Model(config)
        self.model.norm = nn.Identity()
        for layer in self.model.layers:
            for name in _NORMS:
                setattr(layer, name, RMSNorm(dim, _EPS))
            for name in _NORMS_OF_HEADS:
                setattr(layer.self_attn, name, HeadsRMSNorm(HEAD_DIM, _EPS))
        self._frequencies = HostFrequencies(self.model.rotary_emb, HEAD_DIM, _THETA)

    def forward(self, ids: Tensor) -> Tensor:
        """Features (1, length, dim) in the weights' type, of one prompt's tokens (1, length), all of them its own."""
        self._frequencies.to(ids.device)
        features: Tensor = self.model(input_ids=ids, use_cache=False).last_hidden_state
        return features

    @staticmethod
    def recognises(keys: AbstractSet[str]) -> bool:
        """Whether a file with these keys holds this model."""
        needed = {"model.embed_tokens.weight", "model.layers.0.self_attn.q_norm.weight"}
        return needed <= keys and all(key.startswith("model.") for key in keys)

    @staticmethod
    def kwargs_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        """The constructor's arguments for a file whose keys, but for those that are not run, have these shapes."""
        vocab_size, dim = shapes["model.embed_tokens.weight"]
        return {
            "vocab_size": vocab_size,
            "dim": dim,
            "dim_ffn": shapes["model.layers.0.mlp.gate_proj.weight"][0],
            "num_layers": blocks_below(shapes, "model.layers."),
            "num_heads": shapes["model.layers.0.self_attn.q_proj.weight"][0] // HEAD_DIM,
            "num_kv_heads": shapes["model.layers.0.self_attn.k_proj.weight"][0] // HEAD_DIM,
        }


class HeadsRMSNorm(RMSNorm):
    """The same over the channels of each head, of tokens (B, S, heads, head_dim)."""

    def forward(self, tokens: Tensor) -> Tensor:
        """To the same shape and type."""
        return super().forward(tokens.flatten(0, 1)).view(tokens.shape)


_TURN = "<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"  # of Qwen3, which may think before it answers

LENGTH = 512  # tokens of a prompt, the template around it included


class ZImageTokenizer(QwenImageTokenizer):
    """The tokenizer of a local folder: `tokenizer/` of Z-Image or Z-Image-Turbo. Raises as `QwenImageTokenizer`."""

    made_for = "Z-Image"
    published_in = "Tongyi-MAI/Z-Image-Turbo"
    needed_token = "<|im_start|>"

    def ids_of_prompt(self, prompt: str) -> Tensor:
        """Ids of a prompt as a user's turn, (1, tokens); of one that is too long, its start, with a warning."""
        whole = self(_TURN.format(prompt=prompt))
        if (cut := whole.shape[1] - LENGTH) > 0:
            warn_of_cut_prompt(prompt, cut=cut, limit=LENGTH)
        return whole[:, :LENGTH]
