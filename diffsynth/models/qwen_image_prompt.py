"""What Qwen-Image's text encoder is given: token ids, patches of pictures, and the template around a prompt."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from diffsynth.core.caller import missing_folder, warn_of_cut_prompt

PICTURE = "<|image_pad|>"  # stands for each piece of a picture


class QwenImageTokenizer:
    """The tokenizer of a local folder: `tokenizer/` of Qwen-Image, or `processor/` of Qwen-Image-Edit.

    Attributes:
        picture_id: the id of the token that stands for a piece of a picture; -1 where there is none.

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
        self.picture_id: int = vocabulary.get(PICTURE, -1)

    def __call__(self, text: str) -> Tensor:
        """Ids of the text, (1, tokens) int64."""
        ids = self._tokenizer(text, verbose=False)["input_ids"]
        return torch.tensor([ids], dtype=torch.int64, device="cpu")

    def _check_files(self, folder: Path) -> None:
        names = ("vocab.json", "merges.txt")
        if (folder / "tokenizer.json").is_file() or all((folder / name).is_file() for name in names):
            return
        lacking = "has neither tokenizer.json nor vocab.json and merges.txt"
        named = {"place": "tokenizer/", "model": self.made_for, "model_id": self.published_in}
        raise FileNotFoundError(missing_folder(folder, "tokenizer", lacking, **named))


class QwenImageProcessor:
    """The picture half of the processor in a local folder, `processor/` of Qwen-Image-Edit.

    Attributes:
        merged: patches along each side of what becomes one token.

    Raises:
        FileNotFoundError: the folder has no preprocessor_config.json.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        file = Path(folder) / "preprocessor_config.json"
        if not file.is_file():
            named = {"place": "processor/", "model": "Qwen-Image-Edit", "model_id": "Qwen/Qwen-Image-Edit"}
            raise FileNotFoundError(missing_folder(Path(folder), "processor", f"has no {file.name}", **named))
        self._processor = _pillow_processor(str(folder))
        self.merged: int = self._processor.merge_size

    def __call__(self, pictures: Sequence[Image.Image]) -> tuple[Tensor, Tensor]:
        """Patches (count, values) float32 of all pictures, and each one's number of them in time, height and width.

        A picture is resized to whole tokens first.
        """
        seen = self._processor([picture.convert("RGB") for picture in pictures], return_tensors="pt")
        return seen["pixel_values"], seen["image_grid_thw"]


def _pillow_processor(folder: str) -> Any:
    """transformers' image processor of Qwen2-VL that does without torchvision."""
    import transformers

    from_5_on = "Qwen2VLImageProcessorPil"
    kind = getattr(transformers, from_5_on, None) or transformers.Qwen2VLImageProcessor
    return kind.from_pretrained(folder)


_TURNS = "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
_TO_DESCRIBE = (
    "Describe the image by detailing the color, shape, size, texture, quantity, text, spatial relationships of the "
    "objects and background:"
)
_TO_EDIT = (
    "Describe the key features of the input image (color, shape, size, texture, objects, background), then explain "
    "how the user's text instruction should alter or modify the image. Generate a new image that meets the user's "
    "requirements while maintaining consistency with the original input where appropriate."
)
_PICTURE = f"<|vision_start|>{PICTURE}<|vision_end|>"

LENGTH = 4096  # tokens of a prompt, its pictures and the template after it included

# Tokens before what the user says: their features are no part of the prompt's.
TEXT_TEMPLATE_TOKENS, EDIT_TEMPLATE_TOKENS = 34, 64


@dataclass(frozen=True)
class PromptInputs:
    """The text encoder's arguments, on the host, and how many of its first features to leave out."""

    ids: Tensor
    positions: Tensor
    template_tokens: int
    is_picture: Tensor | None = None
    pixels: Tensor | None = None
    grids: Tensor | None = None

    def arguments(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]:
        """The arguments in their order, on the device."""
        of_pictures = (self.is_picture, self.pixels, self.grids)
        is_picture, pixels, grids = (None if one is None else one.to(device) for one in of_pictures)
        return self.ids.to(device), self.positions.to(device), is_picture, pixels, grids


def text_inputs(tokenizer: QwenImageTokenizer, prompt: str) -> PromptInputs:
    """Of a prompt that says what to show."""
    whole = tokenizer(_TURNS.format(system=_TO_DESCRIBE, prompt=prompt))
    ids = whole[:, : LENGTH + TEXT_TEMPLATE_TOKENS]
    _warn_of_what_is_cut(prompt, whole, ids)
    positions = torch.arange(ids.shape[1], device="cpu").expand(3, 1, -1)
    return PromptInputs(ids, positions, TEXT_TEMPLATE_TOKENS)


def edit_inputs(
    tokenizer: QwenImageTokenizer,
    processor: QwenImageProcessor,
    prompt: str,
    pictures: Sequence[Image.Image],
    *,
    numbered: bool,
) -> PromptInputs:
    """Of a prompt that says what to change in pictures.

    Args:
        numbered: each picture is introduced as ``Picture 1:`` and so on, as Qwen-Image-Edit-2509 knows it.

    Raises:
        ValueError: the pictures alone take more tokens than a prompt may have.
    """
    pixels, grids = processor(pictures)
    sizes = [(rows // processor.merged, columns // processor.merged) for _, rows, columns in grids.tolist()]
    shown = [_PICTURE.replace(PICTURE, PICTURE * (rows * columns)) for rows, columns in sizes]
    before = "".join(f"Picture {number}: {one}" if numbered else one for number, one in enumerate(shown, start=1))
    whole = tokenizer(_TURNS.format(system=_TO_EDIT, prompt=before + prompt))
    ids = whole[:, : LENGTH + EDIT_TEMPLATE_TOKENS]
    is_picture = ids == tokenizer.picture_id
    needed = sum(rows * columns for rows, columns in sizes)
    if int(is_picture.sum()) != needed:
        raise ValueError(
            f"the pictures to edit take {needed} tokens of the text encoder, and a prompt has at most {LENGTH}, or it "
            f"names {PICTURE} itself: give fewer or smaller pictures, and leave that token out of the prompt"
        )
    _warn_of_what_is_cut(prompt, whole, ids)
    positions = positions_of(is_picture[0], sizes)
    return PromptInputs(ids, positions, EDIT_TEMPLATE_TOKENS, is_picture, pixels, grids)


def _warn_of_what_is_cut(prompt: str, whole: Tensor, kept: Tensor) -> None:
    if (cut := whole.shape[1] - kept.shape[1]) > 0:
        warn_of_cut_prompt(prompt, cut=cut, limit=LENGTH)


def positions_of(is_picture: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
    """The place of each token in time, height and width, (3, 1, length): text goes on along all three axes.

    Args:
        is_picture: (length,) bool; the tokens of a picture are next to each other, and pictures are not.
        sizes: tokens of each picture, (rows, columns).
    """
    parts: list[Tensor] = []
    at, start = 0, 0
    for rows, columns in sizes:
        first = at + int(is_picture[at:].int().argmax())
        parts.append(torch.arange(start, start + first - at, device="cpu").expand(3, -1))
        start += first - at
        grid = torch.meshgrid(*(torch.arange(count, device="cpu") for count in (1, rows, columns)), indexing="ij")
        parts.append(torch.stack(grid).flatten(1) + start)
        start += max(rows, columns)
        at = first + rows * columns
    parts.append(torch.arange(start, start + len(is_picture) - at, device="cpu").expand(3, -1))
    return torch.cat(parts, dim=1).unsqueeze(1)
