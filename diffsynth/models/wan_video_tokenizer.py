"""Prompts to token ids: the cleaning and the padding that Wan's text encoder was trained with."""

from __future__ import annotations

import html
import os
from pathlib import Path

import torch
from torch import Tensor

from diffsynth.core.caller import warn_of_cut_prompt


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
            raise FileNotFoundError(_what_is_missing(file))
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


def _what_is_missing(file: Path) -> str:
    if not file.parent.exists():
        state = "the folder does not exist"
    elif not file.parent.is_dir():
        state = "this is not a folder"
    else:
        state = f"the folder has no {file.name}"
    return (
        f"no tokenizer in {file.parent}: {state}. Expected the folder google/umt5-xxl/ of a Wan model, with its "
        f"{file.name}. To get it, download with ModelConfig(model_id='Wan-AI/Wan2.1-T2V-1.3B', "
        "origin_file_pattern='google/umt5-xxl/') and DIFFSYNTH_SKIP_DOWNLOAD unset, or point the tokenizer's "
        "ModelConfig(path=...) at a folder that has it."
    )
