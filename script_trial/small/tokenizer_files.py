"""Tokenizers and processors as the files of their folders, by kind: byte pairs with Qwen's tokens, UMT5's pieces.

What transformers' AutoTokenizer and AutoProcessor load offline, and tokenizers.Tokenizer. Equal versions of the library
give equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from script_trial.small.vocabulary import byte_letters

Files = Mapping[str, Callable[[], str]]
"""What makes the content of each file of a folder, by its name."""

#: How Qwen2-VL's processor makes patches of a picture, as every model of the kind is published with.
PATCHES_OF_PICTURES: dict[str, object] = {
    "image_processor_type": "Qwen2VLImageProcessor",
    "processor_class": "Qwen2_5_VLProcessor",
    "size": {"shortest_edge": 3136, "longest_edge": 12845056},
    "patch_size": 14,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "resample": 3,
    "rescale_factor": 1 / 255,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}


def as_json(content: Mapping[str, object]) -> str:
    """The text of a file."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def added_token(token: str) -> dict[str, object]:
    """A special token, as a tokenizer's configuration has it."""
    return {"content": token, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False} | {
        "special": True
    }


_WORDS = "the and of in a with light paper boat red blue picture image scene street cat".split()
_END = "<|endoftext|>"
_SPECIAL = (_END, "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")


def _merges() -> list[tuple[str, str]]:
    """Pairs that build the words letter by letter, and then the words after a space."""
    letter_by_letter = [(word[:end], word[end]) for word in _WORDS for end in range(1, len(word))]
    after_a_space = [(byte_letters()[ord(" ")], word) for word in _WORDS]
    return list(dict.fromkeys(letter_by_letter + after_a_space))


def _vocabulary() -> dict[str, int]:
    pieces = dict.fromkeys([*byte_letters(), *(one + other for one, other in _merges())])
    return {piece: number for number, piece in enumerate(pieces)}


_SPECIAL_IDS = {token: len(_vocabulary()) + number for number, token in enumerate(_SPECIAL)}
_QWEN_NAMES = {"additional_special_tokens": list(_SPECIAL[1:]), "eos_token": "<|im_end|>", "pad_token": _END}


def _merges_file() -> str:
    return "#version: 0.2\n" + "".join(f"{one} {other}\n" for one, other in _merges())


def _qwen_configuration() -> str:
    settings = {
        "tokenizer_class": "Qwen2Tokenizer",
        "add_prefix_space": False,
        "added_tokens_decoder": {number: added_token(token) for token, number in _SPECIAL_IDS.items()},
        "unk_token": None,
        "model_max_length": 131072,
    }
    return as_json(settings | _QWEN_NAMES)


_QWEN: Files = {
    "added_tokens.json": lambda: as_json(_SPECIAL_IDS),
    "merges.txt": _merges_file,
    "special_tokens_map.json": lambda: as_json(_QWEN_NAMES),
    "tokenizer_config.json": _qwen_configuration,
    "vocab.json": lambda: as_json(_vocabulary()),
}

# Of UMT5: padding 0, end 1, and bytes for what the vocabulary lacks.
_T5_SPECIAL = ("<pad>", "</s>", "<unk>")
_BYTES = tuple(f"<0x{value:02X}>" for value in range(256))
_T5_WORDS = (
    "an and at boat by camera city clay cloud dusk fog from harbour in is it lamp light moves of on over paper rain "
    "red river sea snow soft street the through to under water wind window with ing ed er ly"
).split()
_CHINESE = "一上下不中人光出动在大天小山巷日月水海港灯的红船色镜雨雪雾风"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?'\"()-"
_T5_NAMES = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}


def _t5_pieces() -> list[tuple[str, float]]:
    """The vocabulary with log probabilities."""
    pieces = [(piece, 0.0) for piece in (*_T5_SPECIAL, *_BYTES)]
    pieces += [("▁", -3.0)] + [(character, -6.0) for character in _LETTERS + _CHINESE]
    return pieces + [(piece, -7.0) for word in _T5_WORDS for piece in (word, f"▁{word}")]


def _t5_tokenizer() -> str:
    from tokenizers import normalizers

    tokenizer = unigram_tokenizer(_t5_pieces())
    tokenizer.normalizer = normalizers.NFKC()
    return f"{tokenizer.to_str(pretty=True)}\n"


def unigram_tokenizer(pieces: list[tuple[str, float]]) -> Any:
    """T5's kind, whose first three pieces are padding, end and unknown."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=_T5_SPECIAL.index("<unk>"), byte_fallback=True))
    tokenizer.add_special_tokens(list(_T5_SPECIAL))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", _T5_SPECIAL.index("</s>"))]
    )
    return tokenizer


def _t5_configuration() -> str:
    # Not the published class, T5Tokenizer: from transformers 5 on it drops the byte fallback.
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, "padding_side": "right"}
    return as_json(settings | _T5_NAMES)


#: The files of a folder, by the kind of tokenizer or processor in it.
FILES: dict[str, Files] = {
    "qwen": _QWEN,
    "qwen_processor": {**_QWEN, "preprocessor_config.json": lambda: as_json(PATCHES_OF_PICTURES)},
    "umt5": {
        "special_tokens_map.json": lambda: as_json(_T5_NAMES),
        "tokenizer.json": _t5_tokenizer,
        "tokenizer_config.json": _t5_configuration,
    },
}
#: Tokens of the largest of them.
MOST_TOKENS = max(len(_vocabulary()) + len(_SPECIAL), len(_t5_pieces()))
