"""A small tokenizer and processor of the real kind: byte-level BPE with Qwen's own tokens, and Qwen2-VL's patches."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

_WORDS = "the and of in a with light paper boat red blue picture image scene street cat".split()
_END = "<|endoftext|>"
_SPECIAL = (_END, "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")


def _byte_letters() -> list[str]:
    """The printable character that stands for each byte, as every byte-level BPE since GPT-2 has it."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [value for value in range(256) if value not in printable]
    letters = {value: chr(value) for value in printable} | {value: chr(256 + n) for n, value in enumerate(others)}
    return [letters[value] for value in range(256)]


def _merges() -> list[tuple[str, str]]:
    """Pairs that build the words letter by letter, and then the words after a space."""
    letter_by_letter = [(word[:end], word[end]) for word in _WORDS for end in range(1, len(word))]
    after_a_space = [(_byte_letters()[ord(" ")], word) for word in _WORDS]
    return list(dict.fromkeys(letter_by_letter + after_a_space))


def _vocabulary() -> dict[str, int]:
    pieces = dict.fromkeys([*_byte_letters(), *(one + other for one, other in _merges())])
    return {piece: number for number, piece in enumerate(pieces)}


_SPECIAL_IDS = {token: len(_vocabulary()) + number for number, token in enumerate(_SPECIAL)}
QWEN_VOCAB_SIZE = len(_vocabulary()) + len(_SPECIAL)


def _merges_file() -> str:
    return "#version: 0.2\n" + "".join(f"{one} {other}\n" for one, other in _merges())


def _configuration() -> str:
    added = {
        number: {"content": token, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
        | {"special": True}
        for token, number in _SPECIAL_IDS.items()
    }
    settings = {
        "tokenizer_class": "Qwen2Tokenizer",
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": list(_SPECIAL[1:]),
        "eos_token": "<|im_end|>",
        "pad_token": _END,
        "unk_token": None,
        "model_max_length": 131072,
    }
    return _json(settings)


def _special_tokens() -> str:
    return _json({"additional_special_tokens": list(_SPECIAL[1:]), "eos_token": "<|im_end|>", "pad_token": _END})


def _preprocessor() -> str:
    settings = {
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
    return _json(settings)


def _json(settings: Mapping[str, object]) -> str:
    return json.dumps(settings, indent=2, ensure_ascii=False) + "\n"


QWEN_TOKENIZER_FILES: dict[str, Callable[[], str]] = {
    "added_tokens.json": lambda: _json(_SPECIAL_IDS),
    "merges.txt": _merges_file,
    "special_tokens_map.json": _special_tokens,
    "tokenizer_config.json": _configuration,
    "vocab.json": lambda: _json(_vocabulary()),
}
QWEN_PROCESSOR_FILES = {**QWEN_TOKENIZER_FILES, "preprocessor_config.json": _preprocessor}
