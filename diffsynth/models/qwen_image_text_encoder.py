"""The Qwen-Image text encoder: Qwen2.5-VL as transformers writes it, under the names of Qwen-Image's own file; and what
it is given: token ids, patches of pictures, and the template around a prompt.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from diffsynth.core.caller import missing_folder, warn_of_cut_prompt
from diffsynth.core.loader.detection import ToldByNames, blocks_below
from diffsynth.models.layers import HostFrequencies

# What the file does not say, and every published size has.
HEAD_DIM = 128  # of the language model
VISION_HEAD_DIM = 80
_TEXT_THETA, _VISION_THETA = 1_000_000.0, 10_000.0
_MROPE_SECTION = [16, 24, 24]  # pairs of a head that turn with time, height and width
_FULL_ATTENTION_EVERY = 8  # vision blocks; the others attend within windows
_WINDOW = 112  # pixels
_EPS = 1e-6

_FILE_PREFIXES = {"model.visual.": "visual.", "model.language_model.": "model."}


class QwenImageTextEncoder(nn.Module, ToldByNames):
    """Token ids, and pictures among them, to features: one vector a token.

    The numbers of the published checkpoint are the defaults. Widths are multiples of the heads': 128 for the language
    model, 80 for the vision tower. Of the file, only the head that would predict the next word is left out.
    """

    telling = ("visual.patch_embed.proj.weight", "visual.merger.mlp.0.weight", "model.layers.0.self_attn.q_proj.bias")

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
            HostFrequencies(self.model.language_model.rotary_emb, HEAD_DIM, _TEXT_THETA),
            HostFrequencies(self.model.visual.rotary_pos_emb, VISION_HEAD_DIM // 2, _VISION_THETA),
        ]

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
        for frequencies in self._frequencies:
            frequencies.to(ids.device)
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
        if not (folder / "tokenizer.json").is_file() and not all((folder / name).is_file() for name in names):
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

    # The first is there from 5 on.
    kind = getattr(transformers, "Qwen2VLImageProcessorPil", None) or transformers.Qwen2VLImageProcessor
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

    def arguments(self, device: torch.device) -> tuple[Any, ...]:
        """The arguments in their order, on the device."""
        given = (self.ids, self.positions, self.is_picture, self.pixels, self.grids)
        return tuple(None if one is None else one.to(device) for one in given)


def text_inputs(tokenizer: QwenImageTokenizer, prompt: str) -> PromptInputs:
    """Of a prompt that says what to show."""
    ids = _ids(tokenizer, _TO_DESCRIBE, prompt, TEXT_TEMPLATE_TOKENS)
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
    ids = _ids(tokenizer, _TO_EDIT, prompt, EDIT_TEMPLATE_TOKENS, before)
    is_picture = ids == tokenizer.picture_id
    needed = sum(rows * columns for rows, columns in sizes)
    if int(is_picture.sum()) != needed:
        raise ValueError(
            f"the pictures to edit take {needed} tokens of the text encoder, and a prompt has at most {LENGTH}, or it "
            f"names {PICTURE} itself: give fewer or smaller pictures, and leave that token out of the prompt"
        )
    positions = positions_of(is_picture[0], sizes)
    return PromptInputs(ids, positions, EDIT_TEMPLATE_TOKENS, is_picture, pixels, grids)


def _ids(tokenizer: QwenImageTokenizer, system: str, prompt: str, template_tokens: int, before: str = "") -> Tensor:
    """Of the template around a prompt, (1, tokens); of one that is too long, its start, with a warning."""
    whole = tokenizer(_TURNS.format(system=system, prompt=before + prompt))
    if (cut := whole.shape[1] - LENGTH - template_tokens) > 0:
        warn_of_cut_prompt(prompt, cut=cut, limit=LENGTH)
    return whole[:, : LENGTH + template_tokens]


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
