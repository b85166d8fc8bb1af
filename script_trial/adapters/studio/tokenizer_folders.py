"""Tokenizers and processors, made up: bytes as tokens, and the special tokens of all families.

The files are those that transformers' AutoTokenizer and the classes that pipelines name (Qwen2Tokenizer, CLIPTokenizer,
T5TokenizerFast, Qwen2VLProcessor) load. Families differ in what ends a text and in which side is padded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from script_trial.small.tokenizer_files import PATCHES_OF_PICTURES, added_token, as_json, unigram_tokenizer
from script_trial.small.vocabulary import byte_letters

_SPECIAL = (
    "<pad> </s> <unk> <s> <bos> <eos> [INST] [/INST] [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [IMG] [IMG_BREAK] [IMG_END] "
    "<start_of_turn> <end_of_turn> <|im_start|> <|im_end|> <|vision_start|> <|vision_end|> <|image_pad|> <|video_pad|> "
    "<|startoftext|> <|endoftext|>"  # CLIP looks for the end of the text as the largest id
).split()

_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% else %}<|vision_start|><|image_pad|><|vision_end|>{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

_BYTES = {letter: number for number, letter in enumerate(byte_letters())}
_WORD_ENDS = {f"{letter}</w>": 256 + number for letter, number in _BYTES.items()}  # CLIP's own kind of BPE
TOKEN_IDS = {token: 512 + number for number, token in enumerate(_SPECIAL)}


# T5's is a Unigram vocabulary, in which what it lacks is spelt in bytes.
_T5_PIECES = [
    *[(piece, 0.0) for piece in ("<pad>", "</s>", "<unk>", *(f"<0x{value:02X}>" for value in range(256)))],
    *[(letter, -6.0) for letter in "▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?'\"()-"],
]


@dataclass(frozen=True)
class Kind:
    """What a family's tokenizer does: the class that its configuration names, and what goes around a text."""

    name: str
    tokenizer_class: str
    before: str | None
    after: str | None
    pad: str
    length: int


_QWEN = Kind("qwen", "Qwen2Tokenizer", None, None, "<|endoftext|>", 131072)
_T5 = Kind("t5", "PreTrainedTokenizerFast", None, "</s>", "<pad>", 512)
_CLIP = Kind("clip", "CLIPTokenizer", "<|startoftext|>", "<|endoftext|>", "<|endoftext|>", 77)
_PLAIN = Kind("plain", "PreTrainedTokenizerFast", "<s>", None, "<pad>", 131072)

# The first whose text is in a model's id and folder, in lower case.
_KINDS = (
    ("umt5", _T5),
    ("t5xxl", _T5),
    ("flux.1", _T5),
    ("stable-diffusion", _CLIP),
    ("klein", _QWEN),
    ("z-image", _QWEN),
    ("qwen", _QWEN),
)


def kind_of(model_id: str, pattern: str) -> Kind:
    """The kind of tokenizer in a model's folder."""
    if "flux.1" in model_id.lower() and pattern.rstrip("/") == "tokenizer":
        return _CLIP
    name = f"{model_id}/{pattern}".lower()
    return next((kind for text, kind in _KINDS if text in name), _PLAIN)


def write_tokenizer(kind: Kind, folder: Path) -> None:
    """Writes the files of a tokenizer, and of a processor of pictures beside it."""
    folder.mkdir(parents=True)
    _write(folder / "tokenizer.json", json.loads(unigram_tokenizer(_T5_PIECES).to_str() if kind is _T5 else _bpe(kind)))
    _write(folder / "tokenizer_config.json", _configuration(kind))
    _write(folder / "special_tokens_map.json", _special(kind))
    _write(folder / "vocab.json", {**_BYTES, **_WORD_ENDS, **(TOKEN_IDS if kind is _CLIP else {})})
    if kind is not _T5:
        _write(folder / "added_tokens.json", TOKEN_IDS)
    _write(folder / "preprocessor_config.json", PATCHES_OF_PICTURES)
    (folder / "chat_template.jinja").write_text(_CHAT, encoding="utf-8")  # where a processor looks for it
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(as_json(content), encoding="utf-8")


def _special(kind: Kind) -> dict[str, str]:
    return {
        **({} if kind is _T5 else {"bos_token": kind.before or "<s>"}),
        "eos_token": kind.after or ("<|im_end|>" if kind is _QWEN else "</s>"),
        "pad_token": kind.pad,
        "unk_token": kind.pad if kind in (_QWEN, _CLIP) else "<unk>",
    }


def _configuration(kind: Kind) -> dict[str, Any]:
    tokens = {"<pad>": 0, "</s>": 1, "<unk>": 2} if kind is _T5 else TOKEN_IDS
    added = {str(number): added_token(token) for token, number in tokens.items()}
    return {
        "tokenizer_class": kind.tokenizer_class,
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "chat_template": _CHAT,
        "model_max_length": kind.length,
        "padding_side": "right",
        **_special(kind),
    }


def _bpe(kind: Kind) -> str:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.BPE({**_BYTES, **_WORD_ENDS, **TOKEN_IDS}, [], unk_token="<unk>"))
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in TOKEN_IDS])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    around = [token for token in (kind.before, kind.after) if token]
    if around:
        template = " ".join(token for token in (kind.before, "$A", kind.after) if token)
        tokenizer.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=[(token, TOKEN_IDS[token]) for token in around]
        )
    text: str = tokenizer.to_str()
    return text
