"""Text to token ids, as Qwen-Image's text encoder was trained with."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor

PICTURE = "<|image_pad|>"  # stands for each piece of a picture


class QwenImageTokenizer:
    """The tokenizer of a local folder: `tokenizer/` of Qwen-Image, or `processor/` of Qwen-Image-Edit.

    Attributes:
        picture_id: the id of the token that stands for a piece of a picture.

    Raises:
        FileNotFoundError: the folder has no tokenizer.
        ValueError: it has one that lacks Qwen's own tokens, or that cannot be read.
    """

    made_for = "Qwen-Image"
    published_in = "Qwen/Qwen-Image"
    needed_token = PICTURE

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._check_files(Path(folder))
        from transformers import Qwen2Tokenizer

        try:
            self._tokenizer = Qwen2Tokenizer.from_pretrained(str(folder))
        except Exception as error:  # its backend raises plain Exception
            raise ValueError(f"{folder} holds no tokenizer of {self.made_for} ({error}); fetch it anew") from error
        vocabulary = self._tokenizer.get_vocab()
        if self.needed_token not in vocabulary:
            raise ValueError(
                f"the tokenizer in {folder} has no token {self.needed_token}: it is not that of a {self.made_for} model"
            )
        self.picture_id: int | None = vocabulary.get(PICTURE)

    def __call__(self, text: str) -> Tensor:
        """Ids of the text, (1, tokens) int64."""
        ids = self._tokenizer(text, verbose=False)["input_ids"]
        return torch.tensor([ids], dtype=torch.int64, device="cpu")

    def _check_files(self, folder: Path) -> None:
        names = ("vocab.json", "merges.txt")
        if (folder / "tokenizer.json").is_file() or all((folder / name).is_file() for name in names):
            return
        if not folder.exists():
            state = "the folder does not exist"
        elif not folder.is_dir():
            state = "this is not a folder"
        else:
            state = "the folder has neither tokenizer.json nor vocab.json and merges.txt"
        raise FileNotFoundError(
            f"no tokenizer in {folder}: {state}. Expected the folder tokenizer/ of {self.made_for}. To get it, "
            f"download with ModelConfig(model_id={self.published_in!r}, origin_file_pattern='tokenizer/') and "
            "DIFFSYNTH_SKIP_DOWNLOAD unset, or point the tokenizer's ModelConfig(path=...) at a folder that has it."
        )
