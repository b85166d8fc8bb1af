"""The Wan text encoder: the encoder half of UMT5-XXL as transformers writes it, under the names of Wan's own file; and
prompts to token ids, with the cleaning and the padding that it was trained with.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from diffsynth.core.caller import missing_folder, warn_of_cut_prompt
from diffsynth.core.loader.detection import ToldByNames

# transformers' names on the left, those of models_t5_umt5-xxl-enc-bf16.pth on the right.
_FILE_NAMES = {
    "embed_tokens.weight": "token_embedding.weight",
    "final_layer_norm.weight": "norm.weight",
    "layer.0.layer_norm.weight": "norm1.weight",
    "layer.0.SelfAttention.q.weight": "attn.q.weight",
    "layer.0.SelfAttention.k.weight": "attn.k.weight",
    "layer.0.SelfAttention.v.weight": "attn.v.weight",
    "layer.0.SelfAttention.o.weight": "attn.o.weight",
    "layer.0.SelfAttention.relative_attention_bias.weight": "pos_embedding.embedding.weight",
    "layer.1.layer_norm.weight": "norm2.weight",
    "layer.1.DenseReluDense.wi_0.weight": "ffn.gate.0.weight",
    "layer.1.DenseReluDense.wi_1.weight": "ffn.fc1.weight",
    "layer.1.DenseReluDense.wo.weight": "ffn.fc2.weight",
}
_MODEL_KEY = re.compile(r"encoder\.(?:block\.(?P<block>\d+)\.)?(?P<name>.+)")
_FILE_BLOCK = re.compile(r"blocks\.(\d+)\.")

# Prompts are computed up to a multiple of this many tokens: few shapes for devices that compile a kernel for each.
_LENGTH_STEP = 64


class WanTextEncoder(nn.Module, ToldByNames):
    """Token ids to text features, one vector a token.

    The numbers of the published checkpoint are the defaults. `dim_attn` is the width of all heads together. The
    encoder has a relative position bias in every layer and does not scale its attention; the largest distance that
    the bias tells apart is 128 tokens, as in every UMT5.

    Raises ValueError when `dim_attn` is not a multiple of `num_heads`.
    """

    telling = ("token_embedding.weight", "blocks.0.ffn.gate.0.weight", "blocks.0.pos_embedding.embedding.weight")

    def __init__(
        self,
        vocab_size: int = 256384,
        dim: int = 4096,
        dim_attn: int = 4096,
        dim_ffn: int = 10240,
        num_heads: int = 64,
        num_layers: int = 24,
        num_buckets: int = 32,
    ) -> None:
        super().__init__()
        if dim_attn % num_heads:
            raise ValueError(f"dim_attn={dim_attn} is not a multiple of num_heads={num_heads}")
        from transformers import UMT5Config, UMT5EncoderModel  # seconds to import: only a run that has a prompt pays

        config = UMT5Config(
            vocab_size=vocab_size,
            d_model=dim,
            d_kv=dim_attn // num_heads,
            d_ff=dim_ffn,
            num_layers=num_layers,
            num_heads=num_heads,
            relative_attention_num_buckets=num_buckets,
        )
        # The whole model owns the embedding a second time, as `shared`; its stack has each parameter once.
        self.encoder = UMT5EncoderModel(config).encoder

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Features of shape (batch, length, dim) in the weights' type, zero where `mask` is 0.

        `ids` and `mask` are integers of shape (batch, length). Columns in which no prompt has a token are not
        computed: no token attends to them.
        """
        length = ids.shape[1]
        columns = mask.any(dim=0).nonzero()
        used = int(columns.amax()) + 1 if len(columns) else 1
        computed = min(length, -(-used // _LENGTH_STEP) * _LENGTH_STEP)
        mask = mask[:, :computed]
        features = self.encoder(input_ids=ids[:, :computed], attention_mask=mask).last_hidden_state
        features = features.masked_fill(mask.unsqueeze(-1) == 0, 0)
        return nn.functional.pad(features, (0, 0, 0, length - computed))

    @staticmethod
    def kwargs_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        """The constructor's arguments for a file whose keys have these shapes."""
        vocab_size, dim = shapes["token_embedding.weight"]
        num_buckets, num_heads = shapes["blocks.0.pos_embedding.embedding.weight"]
        return {
            "vocab_size": vocab_size,
            "dim": dim,
            "dim_attn": shapes["blocks.0.attn.q.weight"][0],
            "dim_ffn": shapes["blocks.0.ffn.fc1.weight"][0],
            "num_heads": num_heads,
            "num_layers": len({found[1] for key in shapes if (found := _FILE_BLOCK.match(key))}),
            "num_buckets": num_buckets,
        }

    @staticmethod
    def file_key(model_key: str) -> str:
        """The key in the published file of this module's parameter `model_key`.

        Raises KeyError for a key that this module does not have.
        """
        found = _MODEL_KEY.fullmatch(model_key)
        if found is None or found["name"] not in _FILE_NAMES:
            raise KeyError(model_key)
        name = _FILE_NAMES[found["name"]]
        return name if found["block"] is None else f"blocks.{found['block']}.{name}"


def clean_prompt(prompt: str) -> str:
    """The prompt with broken Unicode mended, HTML entities read (twice) and whitespace collapsed."""
    import ftfy

    prompt = html.unescape(html.unescape(ftfy.fix_text(prompt)))
    return " ".join(prompt.split())


class WanTokenizer:
    """The tokenizer of a local folder, such as `google/umt5-xxl/` of a Wan model.

    Reads the folder's `tokenizer.json` as it stands. (transformers' T5Tokenizer builds its own around the vocabulary
    and loses the byte fallback: what is not in the vocabulary, many Chinese characters among it, is one and the same
    unknown token there.)

    Raises FileNotFoundError where there is no such file, ValueError where it is not a tokenizer.
    """

    def __init__(self, folder: str | os.PathLike[str], length: int = 512) -> None:
        import tokenizers

        file = Path(folder) / "tokenizer.json"
        if not file.is_file():
            named = {"place": "google/umt5-xxl/", "model": "a Wan model", "model_id": "Wan-AI/Wan2.1-T2V-1.3B"}
            raise FileNotFoundError(missing_folder(file.parent, "tokenizer", f"has no {file.name}", **named))
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises plain Exception
            raise ValueError(
                f"{file} is not a tokenizer of the `tokenizers` library ({error}); fetch it anew"
            ) from error
        self._tokenizer.enable_truncation(length)
        self._tokenizer.enable_padding(length=length, pad_id=0, pad_token="<pad>", direction="right")

    def __call__(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """Ids and mask of the prompts: int64, both (prompts, length), padded with 0 on the right.

        A prompt ends with the end token, also where it was too long and is cut, with a warning.
        """
        encoded = self._tokenizer.encode_batch([clean_prompt(prompt) for prompt in prompts])
        for prompt, one in zip(prompts, encoded, strict=True):
            # Each piece that did not fit is padded, and has an end token of its own.
            if cut := sum(sum(piece.attention_mask) - 1 for piece in one.overflowing):
                warn_of_cut_prompt(prompt, cut=cut, limit=len(one.ids))
        ids = torch.tensor([one.ids for one in encoded], dtype=torch.int64)
        mask = torch.tensor([one.attention_mask for one in encoded], dtype=torch.int64)
        return ids, mask
