"""What made-up weights of Z-Image need besides the sizes of its networks: a tokenizer, and layers that are not run."""

from __future__ import annotations

from collections.abc import Mapping

from diffsynth.families.family import Shapes
from diffsynth.families.qwen_image.small import QWEN_TOKENIZER_FILES as TOKENIZER_FILES
from diffsynth.families.qwen_image.small import QWEN_VOCAB_SIZE as VOCAB_SIZE

__all__ = ["TOKENIZER_FILES", "VOCAB_SIZE", "last_layer"]


def last_layer(sizes: Mapping[str, int], head_dim: int) -> Shapes:
    """Of Qwen3's last layer and norm, by their names in transformers.

    Args:
        sizes: the text encoder's arguments; it runs the layers before this one.
    """
    dim, ffn = sizes["dim"], sizes["dim_ffn"]
    queries, keys = sizes["num_heads"] * head_dim, sizes["num_kv_heads"] * head_dim
    shapes = {
        "self_attn.q_proj": (queries, dim),
        "self_attn.k_proj": (keys, dim),
        "self_attn.v_proj": (keys, dim),
        "self_attn.o_proj": (dim, queries),
        "self_attn.q_norm": (head_dim,),
        "self_attn.k_norm": (head_dim,),
        "mlp.gate_proj": (ffn, dim),
        "mlp.up_proj": (ffn, dim),
        "mlp.down_proj": (dim, ffn),
        "input_layernorm": (dim,),
        "post_attention_layernorm": (dim,),
    }
    number = sizes["num_layers"]
    return {f"layers.{number}.{name}.weight": shape for name, shape in shapes.items()} | {"norm.weight": (dim,)}
