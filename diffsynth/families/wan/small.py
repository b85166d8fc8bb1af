"""A small tokenizer of the real kind: a Unigram vocabulary with byte fallback, padding 0 and end 1, as UMT5 has."""

from __future__ import annotations

import json
from collections.abc import Callable

_SPECIAL = ("<pad>", "</s>", "<unk>")
_BYTES = tuple(f"<0x{value:02X}>" for value in range(256))
_WORDS = (
    "an and at boat by camera city clay cloud dusk fog from harbour in is it lamp light moves of on over paper rain "
    "red river sea snow soft street the through to under water wind window with ing ed er ly"
).split()
_CHINESE = "一上下不中人光出动在大天小山巷日月水海港灯的红船色镜雨雪雾风"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?'\"()-"


def _pieces() -> list[tuple[str, float]]:
    """The vocabulary with log probabilities; whatever it lacks is spelt in bytes."""
    pieces = [(piece, 0.0) for piece in (*_SPECIAL, *_BYTES)]
    pieces += [("▁", -3.0)] + [(character, -6.0) for character in _LETTERS + _CHINESE]
    return pieces + [(piece, -7.0) for word in _WORDS for piece in (word, f"▁{word}")]


VOCAB_SIZE = len(_pieces())
_NAMES = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}


def _tokenizer() -> str:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.Unigram(_pieces(), unk_id=_SPECIAL.index("<unk>"), byte_fallback=True))
    tokenizer.add_special_tokens(list(_SPECIAL))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", _SPECIAL.index("</s>"))]
    )
    return tokenizer.to_str(pretty=True) + "\n"


def _configuration() -> str:
    # Not the published class, T5Tokenizer: from transformers 5 on it drops the byte fallback.
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, "padding_side": "right"}
    return json.dumps(settings | _NAMES, indent=2) + "\n"


def _special_tokens() -> str:
    return json.dumps(_NAMES, indent=2) + "\n"


# What transformers' AutoTokenizer loads offline, and WanTokenizer in diffsynth.models.
TOKENIZER_FILES: dict[str, Callable[[], str]] = {
    "special_tokens_map.json": _special_tokens,
    "tokenizer.json": _tokenizer,
    "tokenizer_config.json": _configuration,
}
